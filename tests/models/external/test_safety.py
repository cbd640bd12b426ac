"""Files that would run code: each writes a file where it runs, and must not have been written."""

import io
import json
import os
import pickle
import zipfile

import pytest
import torch
from torch import Tensor, nn

from foreign_programs import grey_exported, grey_script
from p3m_lightning.models.external.programs import read_program
from p3m_lightning.models.external.safety import _is_expression, _is_target
from p3m_lightning.schema import InputError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


class Trap:
    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def rewritten(path, change):
    """Write an archive again with `change(name, content)` in place of each part."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, change(name, content))
    return path


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        read_program(path)
    assert "\n" not in str(caught.value)


class Stateful(nn.Module):
    """Runs `__setstate__` while it is loaded."""

    def __init__(self):
        super().__init__()
        self.scale = 1.0

    @torch.jit.export
    def __getstate__(self):
        return self.scale, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[float, bool]):
        self.scale = state[0]
        self.training = state[1]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Opener(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_file("data.bin", shared=True, size=4).sum()


def test_torchscript_that_acts_while_it_is_loaded_or_opens_files_is_refused(tmp_path):
    torch.jit.script(Stateful()).save(str(tmp_path / "state.pt"))
    refused(tmp_path / "state.pt", "runs code while it is loaded")
    torch.jit.script(Opener()).save(str(tmp_path / "opens.pt"))
    refused(tmp_path / "opens.pt", "opens files")


def test_a_pickle_in_place_of_torchscript_is_refused_unread(tmp_path):
    mark = tmp_path / "mark"
    torch.save(Trap(mark), tmp_path / "net.pt")
    refused(tmp_path / "net.pt", "not a TorchScript program")
    script = grey_script(tmp_path / "script.pt")
    rewritten(script, lambda name, content: pickle.dumps(Trap(mark), 2) if name.endswith("/data.pkl") else content)
    refused(script, "it names posix mkdir|it names nt mkdir")
    assert not mark.exists()


def test_an_exported_program_with_a_pickle_that_runs_code_is_refused(tmp_path):
    mark, path = tmp_path / "mark", grey_exported(tmp_path / "net.pt2")
    trap = io.BytesIO()
    torch.save(Trap(mark), trap)
    rewritten(path, lambda name, content: trap.getvalue() if "sample_inputs" in name else content)
    refused(path, "sample_inputs/model.pt holds more than tensors")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("target", "torch.hub.load_state_dict_from_url"),
        ("target", "torch.ops.aten.from_file.default"),
        ("forward_arg_names", ["x=__import__('os').mkdir('mark')"]),
        ("in_spec", '[1, {"type": "collections.defaultdict", "context": "null", "children_spec": []}]'),
        ("name", "x\n    import os"),
    ],
)
def test_a_graph_that_names_what_it_should_not_is_refused(tmp_path, key, value):
    path = grey_exported(tmp_path / "net.pt2")

    def change(name, content):
        if not name.endswith("models/model.json"):
            return content
        graph = json.loads(content)
        module = graph["graph_module"]
        if key in ("target", "name"):
            module["graph"]["nodes"][0][key] = value
        else:
            module["module_call_graph"][0]["signature"][key] = value
        return json.dumps(graph)

    refused(rewritten(path, change), f"refused, because loading it could run code: {key}")


def test_compiled_code_in_an_archive_is_refused(tmp_path):
    path = grey_exported(tmp_path / "net.pt2")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("net/data/aotinductor/model/wrapper.so", b"\x7fELF")
    refused(path, "compiled code")


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("Mul(Integer(32), Symbol('s85', positive=True, integer=True))", True),
        ("32*s85 + 1", True),
        ("__import__('os').system('true')", False),
        ("exec(Symbol('s0'))", False),
        ("Symbol('s0').func", False),
        ("[x for x in s0]", False),
        ("(lambda: 0)()", False),
        ("", False),
    ],
)
def test_sizes_are_arithmetic_over_symbols(text, allowed):
    assert _is_expression(text) is allowed


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("torch.ops.aten.conv2d.default", True),
        ("torch.ops.aten.sym_size.int", True),
        ("_operator.floordiv", True),
        ("_operator.attrgetter", False),
        ("math.floor", True),
        ("torch.load", False),
        ("torch.ops.custom.run.default", False),
    ],
)
def test_operators_are_those_of_pytorch(text, allowed):
    assert _is_target(text) is allowed
