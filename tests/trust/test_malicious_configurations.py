"""Checkpoints, exported files and run folders are data, not code: no verb lets them run, build or fetch anything."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from verbs import LONG, run_here

from brief_training import BRIEF
from fabricated_runs import write_run
from p3m_lightning import create_model
from p3m_lightning.images import write_image
from p3m_lightning.synthetic import render_portrait

pytestmark = pytest.mark.slow  # not in make test before all of it has been seen green

MODEL = {"name": "p3mnet_r34", "width": 0.125}
INFER = "p3m_lightning.inference.infer"
BOX = "p3m_lightning.models.create_model"


def chosen(cases: dict) -> dict:
    """Return all cases in the long form, every sixth in the short form."""
    return cases if LONG else dict(list(cases.items())[::6])


class Runs:
    """A pickle that runs a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return subprocess.call, (["touch", str(self.mark)],)


def builds(mark: Path) -> dict[str, dict]:
    """Return configuration nodes that would create the file `mark` if they were built."""
    touch = {"_target_": "pathlib.Path.touch", "self": {"_target_": "pathlib.Path", "_args_": [str(mark)]}}
    system = {"_target_": "os.system", "_args_": [f"touch {mark}"]}
    call = {"_target_": "subprocess.check_call", "args": ["touch", str(mark)]}
    method = {"_target_": "hydra.utils.call", "config": system}
    text = json.dumps(system).replace('"', "'")
    own = {"_target_": "p3m_lightning.synthetic.synthesize", "root": str(mark), "train": 1, "test": 1, "size": 64}
    return {
        "path": touch,
        "system": system,
        "subprocess": call,
        "through hydra": method,
        "interpolated": {"_target_": INFER, "_partial_": True, "mode": f'${{oc.decode:"{text}"}}'},
        "environment": {"_target_": INFER, "_partial_": True, "mode": "${oc.env:HOME}"},
        "nested": {"_target_": INFER, "_partial_": True, "mode": system},
        "deep": {"_target_": INFER, "_partial_": True, "mode": [[{"a": [system]}]]},
        "own, which writes": own,
        "target of a list": {"_target_": [INFER]},
        "target of a mapping": {"_target_": {"_target_": "os.system"}},
        "target that is interpolated": {"_target_": "${oc.env:HOME}"},
        "lambda": {"_target_": "builtins.eval", "_args_": [f"open({str(mark)!r}, 'w')"]},
    }


def odd_configurations() -> dict[str, object]:
    """Return malformed configurations."""
    whole = {"model": MODEL, "inference": {"_target_": INFER, "_partial_": True, "mode": "resize"}}
    odd = [None, 7, "text", [], {}, [1], {"a": {}}, True, 1e400, "\x1b[2J<b>&"]
    found: dict[str, object] = {f"is {value!r}": value for value in odd}
    keys = ("model", "inference", "data", "published_as", "trained_on", "license", "results", "pretrained", "init_from")
    for key in (*keys, "paths", "published", "experiment_name"):
        found |= {f"{key} {value!r}": {**whole, key: value} for value in odd}
    for key in ("name", "width", "encoder", "encoder_weights", "_target_"):
        found |= {f"model.{key} {value!r}": {**whole, "model": {**MODEL, key: value}} for value in odd}
    for key in ("mode", "scale", "tile", "overlap", "short_side"):
        found |= {
            f"inference.{key} {value!r}": {**whole, "inference": {"_target_": INFER, key: value}} for value in odd
        }
    found |= {f"data.train {value!r}": {**whole, "data": {"train": value, "tests": value}} for value in odd}
    found["data.train.datasets"] = {**whole, "data": {"train": {"datasets": {"a": None, "b": 3}}}}
    deep: dict = {}
    for _ in range(5000):
        deep = {"a": deep}
    found["deep"] = {**whole, "more": deep}
    circle: dict = {**whole}
    circle["more"] = circle
    found["a circle"] = circle
    return found


@pytest.fixture
def state():
    torch.manual_seed(0)
    return {f"net.{key}": value for key, value in create_model(**MODEL).state_dict().items()}


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photos" / "a.png"
    write_image(path, render_portrait(1, 64).image)
    return path


def save(path: Path, state: dict, config: object) -> Path:
    path.parent.mkdir(exist_ok=True)
    torch.save({"state_dict": state, "config": config, "optimizer_states": [{}], "epoch": 1, "global_step": 1}, path)
    return path


def reading_verbs(ckpt: Path, photo: Path, portraits: Path, out: Path) -> dict[str, list]:
    """Return the command line of every verb that reads a checkpoint."""
    train = ["train", *BRIEF, f"paths.data={portraits}", f"hydra.run.dir={out}/run", "trainer.max_epochs=1"]
    teacher = {"_target_": "p3m_lightning.training.callbacks.teacher.Teacher", "ckpt": ckpt, "folder": out}
    brief = ["data=synthetic", f"paths.data={portraits}", "trainer=cpu", "callbacks.progress=null"]
    return {
        "predict": ["predict", photo, "-o", out / "mattes", "--ckpt", ckpt],
        "eval": ["eval", *brief, "data.num_workers=0", f"ckpt={ckpt}", f"hydra.run.dir={out}/eval"],
        "export": ["export", "--ckpt", ckpt, "--hub", out / "hub"],
        "train from": [*train, f"init_from={ckpt}", "trainer.limit_train_batches=1"],
        "resume": [*train, f"ckpt={ckpt}"],
        "teacher": [*train, *(f"+callbacks.teacher.{key}={value}" for key, value in teacher.items())],
        "sample": ["gan", "sample", "--ckpt", ckpt, "-o", out / "sampled", "--count", 1],
        "convert": ["weights", "convert", "p3mnet_r34", ckpt, out / "converted.safetensors"],
    }


def test_no_pickle_runs(tmp_path, state, photo, portraits, tally):
    mark = tmp_path / "mark"
    bad = {
        "whole": Runs(mark),
        "in the weights": {"state_dict": {**state, "x": Runs(mark)}, "config": {"model": MODEL}},
    }
    bad["in the configuration"] = {"state_dict": state, "config": {"model": MODEL, "inference": Runs(mark)}}
    lost, tried = [], 0
    for name, content in bad.items():
        for kind in ("ckpt", "pth", "plain.pt") if LONG else ("ckpt",):
            path = tmp_path / f"bad.{kind}"
            if kind == "plain.pt":
                path.write_bytes(pickle.dumps(content))
            else:
                torch.save(content, path)
            for verb, arguments in reading_verbs(path, photo, portraits, tmp_path / "out").items():
                if not LONG and verb not in ("predict", "eval", "sample", "convert"):
                    continue
                tried += 1
                ended = run_here(arguments)
                fault = ended.faults(allowed=(2,)) or ("it ran" if mark.exists() else "")
                lost += [f"{name}, {kind}, {verb}: {fault}"] if fault else []
    tally("checkpoints that run code", tried, lost)


def test_no_configuration_of_a_checkpoint_builds_anything(tmp_path, state, photo, portraits, tally):
    mark = tmp_path / "mark"
    lost, tried = [], 0
    for name, node in builds(mark).items():
        config = {"model": MODEL, "inference": node, "data": {"tests": {"P": node}, "train": node}, "loss": node}
        ckpt = save(tmp_path / "bad.ckpt", state, config)
        for verb in ("eval", "teacher", "predict", "export", "resume") if LONG else ("eval",):
            tried += 1
            ended = run_here(reading_verbs(ckpt, photo, portraits, tmp_path / str(tried))[verb])
            fault = ended.faults((2,) if verb in ("eval", "teacher", "resume") else (0, 2))
            fault = fault or ("it ran" if mark.exists() else "")
            lost += [f"{name}, {verb}: {fault}"] if fault else []
    tally("checkpoints whose configuration builds other objects", tried, lost)


def test_no_configuration_of_a_run_folder_builds_anything(tmp_path, tally):
    mark = tmp_path / "mark"
    lost, tried = [], 0
    for name, node in chosen(builds(mark)).items():
        folder = write_run(tmp_path / str(tried), {"P": [1.0, 2.0]}, {"data": {"tests": {"P": node}}})
        write_image(folder / "report/mattes/P/000.png", torch.zeros(9, 9, dtype=torch.uint8).numpy())
        write_image(folder / "report/mattes/P/001.png", torch.zeros(9, 9, dtype=torch.uint8).numpy())
        ended = run_here(["compare", folder, "-o", tmp_path / "report", "--samples", 10])
        tried += 1
        page = tmp_path / "report" / "compare.html"
        told = page.is_file() and "BUILDABLE" in page.read_text()
        fault = ended.faults() or ("it ran" if mark.exists() else "") or ("" if told else "the page does not say so")
        lost += [f"{name}: {fault}"] if fault else []
    for tag in ("!!python/object/apply:os.system ['touch MARK']", "!!python/name:os.system", "!!python/module:os"):
        folder = write_run(tmp_path / str(tried), {"P": [1.0]})
        (folder / "config.yaml").write_text(f"a: {tag}\n".replace("MARK", str(mark)))
        ended = run_here(["compare", folder, "-o", tmp_path / "report"])
        tried += 1
        fault = ended.faults((2,)) or ("it ran" if mark.exists() else "")
        lost += [f"{tag}: {fault}"] if fault else []
    tally("run folders whose configuration builds other objects", tried, lost)


def test_checkpoints_with_configurations_of_other_shapes_are_refused_in_a_line(
    tmp_path, state, photo, portraits, tally
):
    lost, tried = [], 0
    for name, config in chosen(odd_configurations()).items():
        try:
            ckpt = save(tmp_path / "odd.ckpt", state, config)
        except RecursionError:  # such a file cannot be written by torch either
            continue
        for verb in ("predict", "export", "eval") if LONG else ("predict", "export"):
            tried += 1
            arguments = reading_verbs(ckpt, photo, portraits, tmp_path / f"{tried}")[verb]
            arguments += ["data.tests.P3M-500-P.limit=1", "~data.tests.P3M-500-NP"] if verb == "eval" else []
            fault = run_here(arguments).faults()
            lost += [f"{name}, {verb}: {fault}"] if fault else []
    tally("malformed checkpoints", tried, lost)


def test_run_folders_of_other_shapes_are_refused_in_a_line(tmp_path, tally):
    good = write_run(tmp_path / "good", {"P": [1.0, 2.0]}, curve=[3, 2])
    texts = {path.name: path.read_text() for path in good.iterdir()}
    odd = ["null", "7", '"a"', "[]", "{}", "[[]]", '{"a": 1}', "{", "", "\x00", "[" * 3000, "NaN"]
    laughs = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    cases = [(name, text) for name in texts for text in odd] + [("config.yaml", laughs), ("config.yaml", "a: &a [*a]")]
    results, report = json.loads(texts["results.json"]), json.loads(texts["metrics_P.json"])
    for key in results:
        cases += [("results.json", json.dumps({**results, key: value})) for value in (None, 3, "x", [], {})]
    for key in report:
        cases += [("metrics_P.json", json.dumps({**report, key: value})) for value in (None, 3, "x", [], {}, [{}], [3])]
    for key in ("name", "sad"):
        for value in (None, 3, "x", [], {}, float("nan"), "../../../x", "<b>\x1b[2J\n|`"):
            rows = [{**row, key: value} for row in report["images"][:1]] + report["images"][1:]
            cases.append(("metrics_P.json", json.dumps({**report, "images": rows})))
    config = yaml.safe_load(texts["config.yaml"])
    for key in config:
        for value in (None, 3, "x", [], {}, [3]):
            cases.append(("config.yaml", yaml.safe_dump({**copy.deepcopy(config), key: value})))
    lost, cases = [], cases if LONG else cases[::8]
    for name, text in cases:
        (good / name).write_text(text)
        before = {path for path in tmp_path.rglob("*") if "report" not in path.parts}
        ended = run_here(["compare", good, "-o", tmp_path / "report", "--samples", 10])
        fault = ended.faults() or "".join(
            f"wrote {path}" for path in {p for p in tmp_path.rglob("*") if "report" not in p.parts} - before
        )
        lost += [f"{name} = {text[:60]!r}: {fault}"] if fault else []
        (good / name).write_text(texts[name])
    tally("malformed run folders", len(cases), lost)


def test_names_in_reports_act_neither_on_pages_nor_on_files(tmp_path, tally):
    names = [
        "<script>alert(1)</script>",
        "../../../evil",
        "/tmp/evil",
        "a|b`c`",
        "![x](javascript:alert(1))",
        "\x1b[2J",
    ]
    names += ["$\\frac$", "$x"]
    names += ['" onerror="alert(1)', "x" * 300, "a\nb", "[a](javascript:b)", "<img src=x onerror=y>", "..", "."]
    lost = []
    for number, name in enumerate(names):
        folder = write_run(tmp_path / "runs" / str(number), {"P": [1.0, 2.0]})
        report = json.loads((folder / "metrics_P.json").read_text())
        report["images"][0]["name"] = name
        (folder / "metrics_P.json").write_text(json.dumps(report))
        for stem in ("000", "001", "evil"):
            write_image(folder / f"report/mattes/P/{stem}.png", torch.zeros(9, 9, dtype=torch.uint8).numpy())
        out = tmp_path / "report"
        label = name.replace("=", "").replace("\n", " ") if len(name) < 99 else "x"
        ended = run_here(["compare", f"{label}={folder}", "-o", out, "--samples", 10])
        page = (out / "compare.html").read_text() if (out / "compare.html").is_file() else ""
        bad = [
            text
            for text in ("<script", "<img src=x", 'href="javascript', 'src="javascript', ' onerror="')
            if text in page
        ]
        stray = [p for p in tmp_path.rglob("*evil*") if out not in p.parents and folder.parent not in p.parents]
        fault = ended.faults() or (f"the page holds {bad}" if bad else "") or (f"wrote {stray}" if stray else "")
        lost += [f"{name!r}: {fault}"] if fault else []
    tally("file names with markup or control characters", len(names), lost)
