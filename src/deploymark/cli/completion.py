"""`deploymark completion`: a script that lets a shell complete this command.

Made from the parsers themselves, so that it knows what this very release knows.
"""

import argparse
import shlex
from collections.abc import Iterator
from typing import Any, Final

from deploymark.cli.output import Output

SHELLS: Final = ("bash", "zsh", "fish")

_BASH: Final = """\
# deploymark completion for bash; load it with: source <(deploymark completion bash)
_deploymark() {{
  local word path cur words
  cur=${{COMP_WORDS[COMP_CWORD]}}
  path=deploymark
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$path $word" in
{steps}
    esac
  done
  case $path in
{choices}
  esac
  if [[ $cur == -* || $path != *" "* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur"; compgen -f -- "$cur")
  fi
}}
complete -o filenames -F _deploymark deploymark
"""
_ZSH: Final = """\
#compdef deploymark
# deploymark completion for zsh; load it with: source <(deploymark completion zsh)
autoload -U +X bashcompinit && bashcompinit
{bash}"""


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark completion`."""
    parser = commands.add_parser("completion", help=sentence)
    parser.add_argument("shell", choices=SHELLS, help="the shell")
    parser.set_defaults(run=_completion, json=False)


def _completion(options: argparse.Namespace, output: Output) -> int:
    from deploymark.cli.main import build_parser  # noqa: PLC0415 - it imports this module

    tree = dict(_levels(build_parser(), ("deploymark",)))
    for path in tree:
        # What is called `rollback adopt` is found below `rollback`.
        if len(path) > 1 and path[-1] not in (above := tree[path[:-1]][0]):
            above.append(path[-1])
    output.raw({"bash": _bash, "zsh": _zsh, "fish": _fish}[options.shell](tree))
    return 0


_Tree = dict[tuple[str, ...], tuple[list[str], list[tuple[str, str]]]]
"""For each level: the commands below it, and its flags with what they do."""


def _levels(
    parser: argparse.ArgumentParser, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], tuple[list[str], list[tuple[str, str]]]]]:
    below: dict[str, argparse.ArgumentParser] = {}
    flags: list[tuple[str, str]] = []
    for action in parser._actions:  # noqa: SLF001 - argparse shows its flags in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            below = dict(action.choices)
        else:
            flags += [(flag, action.help or "") for flag in action.option_strings]
    yield path, (sorted({name.partition(" ")[0] for name in below}), flags)
    for name, inner in below.items():
        yield from _levels(inner, (*path, *name.split()))


def _bash(tree: _Tree) -> str:
    steps = [
        f'      "{" ".join(path[:-1])} {path[-1]}") path="{" ".join(path)}" ;;'
        for path in tree
        if len(path) > 1
    ]
    choices = []
    for path, (below, flags) in tree.items():
        words = shlex.quote(" ".join([*below, *(flag for flag, _ in flags)]))
        choices.append(f'    "{" ".join(path)}") words={words} ;;')
    return _BASH.format(steps="\n".join(steps), choices="\n".join(choices))


def _zsh(tree: _Tree) -> str:
    return _ZSH.format(bash=_bash(tree))


def _fish(tree: _Tree) -> str:
    lines = [
        "# deploymark completion for fish; load it with: deploymark completion fish | source",
        "complete -c deploymark -f",
    ]
    for path, (below, flags) in tree.items():
        seen = [f"__fish_seen_subcommand_from {name}" for name in path[1:]]
        others = f"not __fish_seen_subcommand_from {' '.join(below)}" if below else ""
        condition = "; and ".join([*seen, *([others] if others else [])]) or "true"
        lines += [
            f"complete -c deploymark -n {shlex.quote(condition)} -a {shlex.quote(name)}"
            for name in below
        ]
        flagged = "; and ".join(seen) or "true"
        lines += [
            f"complete -c deploymark -n {shlex.quote(flagged)} -l {flag.removeprefix('--')} "
            f"-d {shlex.quote(says)}"
            for flag, says in flags
            if flag.startswith("--")
        ]
    return "\n".join(lines) + "\n"
