"""`p3m bench gpu`: all measurements that need a CUDA GPU, in one call."""

from __future__ import annotations

import argparse
import json

from p3m_lightning.cli.shared.benchmark_results import add_folder
from p3m_lightning.schema import InputError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    parser.description = (
        "Measure training steps, batches of photographs, the generator of StyleGAN3, NCCL, loaders and the tests "
        "marked gpu on the GPU of this machine, in ten minutes; results are kept after every part."
    )
    parser.epilog = "example: p3m bench gpu -o benchmarks/results"
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, ... (default: cuda)")
    parser.add_argument(
        "--rehearse", action="store_true", help="run everything small, on the CPU; writes gpu_rehearsal.json"
    )
    add_folder(parser)


def run(options: argparse.Namespace) -> None:
    """Measure and print; the last line is JSON."""
    import torch

    from p3m_lightning.experiments.bench.gpu.setting import full, small
    from p3m_lightning.experiments.bench.gpu.whole import bench
    from p3m_lightning.experiments.bench.timing import save
    from p3m_lightning.inference.engines.torch_engine import choose_device

    if not options.rehearse and not (options.device.startswith("cuda") and torch.cuda.is_available()):
        raise InputError(f"--device {options.device}: no CUDA GPU here; --rehearse runs everything small on the CPU")
    name = "gpu_rehearsal" if options.rehearse else "gpu"
    setting = small(torch.device("cpu")) if options.rehearse else full(choose_device(options.device))
    bench(setting, lambda results: save(name, results, options.output))
    path = options.output / f"{name}.json"
    print(path)
    print(json.dumps(json.loads(path.read_text())))
