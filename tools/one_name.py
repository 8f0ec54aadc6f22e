"""Rewrite our absolute names to names below one package: `sp.gateway` becomes `lychgate.sp.gateway`.

In the repository `sp`, `idp`, `shared` and `lab` are top-level packages. In an installation, beside packages of other
projects, only `lychgate` may be top-level. This module changes the names token by token, so that all other code keeps
its line and column. It changes:

- imports: `from sp.x import y`, `import sp.x as y`, `import sp.x`, `from sp import x`;
- dotted names in texts and comments, if the module exists here: "idp.stores.directory:open_directory";
- commands for people, in any file: `flask --app sp`.

The build stops if an old name would remain: an import that this module did not recognise, or a module name that the
code builds from parts. If the code builds a module name, use `__package__` there.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

NAME = "lychgate"
PARTS = ("sp", "idp", "shared", "lab")
TEXTS = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
BETWEEN_STATEMENTS = {tokenize.ENCODING, tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT}
Place = tuple[int, int]  # line, from 1; column, from 0
Edit = tuple[Place, Place, str]  # from, to, and the new text


class NameLeft(Exception):
    """One of our names is used in a way that cannot be rewritten. The message says where."""


@dataclass(frozen=True)
class OneName:
    """Puts the packages *parts*, folders of *root*, below the package *name*."""

    root: Path
    name: str = NAME
    parts: tuple[str, ...] = PARTS

    def python(self, source: str, path: str) -> str:
        """Return *source* with the new names. Raises NameLeft if an old name remains; its message shows *path*."""
        lines = list(io.StringIO(source))
        for (first, start), (last, end), text in sorted(self._edits(lines), reverse=True):
            lines[first - 1 : last] = [lines[first - 1][:start] + text + lines[last - 1][end:]]
        changed = "".join(lines)
        self._insist_that_nothing_is_left(changed, path)
        return changed

    def text(self, text: str) -> str:
        """Return *text* with the installed package's name in commands such as `flask --app sp`."""
        return re.sub(rf"(--app[ =])(?={self._any_part}\b)", rf"\1{self.name}.", text)

    @property
    def _any_part(self) -> str:
        return f"(?:{'|'.join(self.parts)})"

    def _edits(self, lines: list[str]) -> Iterator[Edit]:
        for statement in _statements(lines):
            for token in statement:
                written = _between(lines, token.start, token.end) if token.type in TEXTS else ""
                if (text := self._names_in(written)) != written:
                    yield token.start, token.end, text
            code = [token for token in statement if token.type != tokenize.COMMENT]
            if code and code[0].string == "from" and code[1].string in self.parts:
                yield code[1].start, code[1].end, f"{self.name}.{code[1].string}"
            if code and code[0].string == "import":
                clauses = "".join(f" {token.string} " if token.string == "as" else token.string for token in code[1:])
                if any(self._is_ours(clause) for clause in clauses.split(",")):
                    text = "; ".join(self._import(clause.strip()) for clause in clauses.split(","))
                    yield code[0].start, code[-1].end, text

    def _import(self, clause: str) -> str:
        """Return the new statement for one clause of an `import`. It binds the same name to the same module."""
        if not self._is_ours(clause):
            return f"import {clause}"
        module, _as, alias = clause.partition(" as ")
        part = module.partition(".")[0]
        if alias:
            return f"import {self.name}.{module} as {alias.strip()}"
        if module == part:
            return f"from {self.name} import {part}"
        return f"import {self.name}.{module}; from {self.name} import {part}"

    def _is_ours(self, dotted: str) -> bool:
        return re.match(rf"\s*{self._any_part}\b", dotted) is not None

    def _names_in(self, text: str) -> str:
        dotted = rf"(?<![\w./\\-]){self._any_part}(?:\.\w+)+"
        return re.sub(dotted, lambda found: self._renamed(found[0]), self.text(text))

    def _renamed(self, dotted: str) -> str:
        """Return *dotted* below our name if it begins with a module. "sp.sqlite3" does not: it is a data file."""
        part, module, *_rest = dotted.split(".")
        file = self.root / part / module
        return f"{self.name}.{dotted}" if file.is_dir() or file.with_suffix(".py").is_file() else dotted

    def _insist_that_nothing_is_left(self, source: str, path: str) -> None:
        for node in ast.walk(ast.parse(source, path)):
            match node:
                case ast.Import():
                    left = [alias.name for alias in node.names if self._is_ours(alias.name)]
                case ast.ImportFrom(level=0, module=str(module)):
                    left = [module] if self._is_ours(module) else []
                case ast.JoinedStr(values=[ast.Constant(value=str(text)), _, *_]):
                    left = [text] if re.fullmatch(rf"{self._any_part}(\.\w+)*\.", text) else []
                case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module")):
                    named = [item.value for item in node.args if isinstance(item, ast.Constant)]
                    left = [str(text) for text in named if self._is_ours(str(text))]
                case _:
                    continue
            if left:
                raise NameLeft(f"{path}:{node.lineno}: {left[0]} keeps its old name when installed; use __package__")


def _statements(lines: list[str]) -> Iterator[list[tokenize.TokenInfo]]:
    """Yield the tokens of each statement, together with the comments before it.

    The body of `if x: y` counts as a separate statement.
    """
    found: list[tokenize.TokenInfo] = []
    depth = 0
    for token in tokenize.generate_tokens(partial(next, iter(lines), "")):
        depth += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        ends = token.type == tokenize.OP and depth == 0 and token.string in (";", ":")
        if ends or token.type == tokenize.NEWLINE:
            yield found
            found = []
        elif token.type not in BETWEEN_STATEMENTS:
            found.append(token)
    yield found


def _between(lines: list[str], start: Place, end: Place) -> str:
    """Return the source from *start* to *end*, because tokens of f-strings do not contain the original text."""
    found = lines[start[0] - 1 : end[0]]
    found[-1] = found[-1][: end[1]]
    found[0] = found[0][start[1] :]
    return "".join(found)
