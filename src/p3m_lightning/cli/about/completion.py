"""`p3m completion`: scripts that make a shell complete `p3m`, and the words that these scripts ask for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from p3m_lightning.cli.shared.overrides import HYDRA_VERBS

SCRIPTS = {
    "bash": r"""_p3m() {
    local line="${COMP_LINE:0:COMP_POINT}" word before
    word="${line##*[[:space:]]}"
    before="${word%"${COMP_WORDS[COMP_CWORD]}"}"
    [[ "${COMP_WORDS[COMP_CWORD]}" == "=" ]] && before="$word"
    local IFS=$'\n'
    COMPREPLY=($(COMP_P3M=1 "${COMP_WORDS[0]}" completion words -- "$line" 2>/dev/null))
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
    [[ ${#COMPREPLY[@]} == 1 && "${COMPREPLY[0]}" == *[=.] ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o default -F _p3m p3m
""",
    "zsh": r"""#compdef p3m
_p3m() {
    local -a found
    found=(${(f)"$(${words[1]} completion words -- "${(j: :)words[1,CURRENT]}" 2>/dev/null)"})
    if (( ${#found} )); then
        compadd -Q -S '' -- ${(M)found:#*[=.]}
        compadd -Q -- ${found:#*[=.]}
    else
        _files
    fi
}
compdef _p3m p3m
""",
    "fish": r"""function __p3m_words
    p3m completion words -- (commandline --cut-at-cursor) 2>/dev/null
end
complete --command p3m --no-files --condition 'count (__p3m_words) >/dev/null' --arguments '(__p3m_words)'
""",
}
"""Each asks `p3m completion words`, so it never goes out of date; without words the shell offers files."""

WHERE = {
    "bash": 'eval "$(p3m completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(p3m completion zsh)"   # in ~/.zshrc, below compinit',
    "fish": "p3m completion fish > ~/.config/fish/completions/p3m.fish",
}

OVERRIDDEN = HYDRA_VERBS | {("sweep", "wandb"): "train"}
"""Verbs that take overrides, with the file of `conf/` that these apply to."""

NAMED = {"--model": "models", "--name": "datasets", "--dataset": "datasets"}
"""Options whose values are names that the package defines."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.description = (
        "Print a script that makes a shell complete verbs, options, groups, experiments, models and keys."
    )
    parser.epilog = "example:\n" + "\n".join(f"  {line}" for line in WHERE.values())
    parser.add_argument(
        "shell", choices=[*SCRIPTS, "words"], help="words: completions of the end of LINE, used by the scripts"
    )
    parser.add_argument("line", nargs="?", default="", metavar="LINE", help="command line up to the cursor")


def run(options: argparse.Namespace) -> None:
    """Print the script, or the words that fit."""
    if options.shell != "words":
        print(SCRIPTS[options.shell], end="")
        return
    words = options.line.split()
    if not options.line or options.line[-1].isspace():
        words.append("")
    for word in completions(words[1:]):
        print(word)


def completions(words: Sequence[str]) -> list[str]:
    """Return the completions of the last of `words`, the arguments of p3m; none where a file name is expected."""
    *given, begun = words
    return [word for word in _offered(given, begun) if word.startswith(begun)]


def _offered(given: Sequence[str], begun: str) -> Iterator[str]:
    from p3m_lightning.cli import Parser, build_parser

    parser: argparse.ArgumentParser = build_parser([*given, begun] if given else [])
    path: list[str] = []
    for word in given:
        verbs = next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), None)
        if verbs is None or word not in verbs:
            continue
        parser, path = verbs[word], [*path, word]
    assert isinstance(parser, Parser)
    action = parser._option_string_actions.get(given[-1]) if given else None
    if action is not None and action.nargs != 0:
        yield from map(str, action.choices or ())
        yield from _names(NAMED.get(given[-1], ""))
    elif begun.startswith("-"):
        yield from (name for name in parser.known_options() if name.startswith("--") or len(begun) < 2)
    elif tuple(path) in OVERRIDDEN:
        yield from overrides(OVERRIDDEN[tuple(path)], given, begun)
    else:
        for one in parser._actions:
            if not one.option_strings:
                yield from map(str, one.choices or ())
        if path == ["models"]:
            yield from _names("models")


def overrides(verb: str, given: Sequence[str], begun: str) -> Iterator[str]:
    """Yield overrides of `conf/<verb>.yaml` that begin as `begun` does.

    After the `=` of a group these are its options; otherwise the groups, and the keys of the options chosen in `given`
    or by default, one part of a key at a time.
    """
    from p3m_lightning.configuration.options import default_options, file_keys, group_options, groups

    key, equals, _ = begun.partition("=")
    if equals:
        yield from (f"{key}={option}" for option in group_options(key))
        return
    yield from (f"{group}=" for group in groups())
    chosen = default_options(verb) | dict(word.split("=", 1) for word in given if "=" in word)
    keys = file_keys(verb) + [
        key
        for group in groups()
        if "/" not in group and group in chosen
        for key in file_keys(f"{group}/{chosen[group]}", f"{group}.")
    ]
    depth = begun.count(".") + 1
    parts = (key.split(".") for key in keys)
    yield from dict.fromkeys(".".join(p[:depth]) + ("." if len(p) > depth else "=") for p in parts if len(p) >= depth)


def _names(kind: str) -> list[str]:
    if kind == "models":
        from p3m_lightning.models import MODELS

        return list(MODELS)
    if kind == "datasets":
        from p3m_lightning.data.cards import DATASETS

        return list(DATASETS)
    return []
