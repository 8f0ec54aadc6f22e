"""Read the imports of every file, and hold them against the arrows between the parts.

`shared` is what two programs agree on, `sp` and `idp` are those programs, and the pure modules are the heart
of each: they take clock, keys, stores and settings as arguments, so they can be read and tested alone.
An import that runs against an arrow is easy to add and hard to take back; here it fails, by file and line.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("shared", "sp", "idp")
NAME = "lychgate"  # what an installation is called: it imports the parts, and no part imports it

PURE_MODULES = (
    "shared/breaker.py",
    "shared/claims.py",
    "shared/errors.py",
    "shared/keys.py",
    "shared/mistaken_keys.py",
    "shared/pasted_keys.py",
    "shared/printable.py",
    "shared/setting_names.py",
    "shared/settings.py",
    "shared/tokens.py",
    "sp/routes.py",
    "sp/providers/presets.py",
    "sp/providers/setting_parser.py",
    "sp/providers/provider.py",
    "sp/providers/risks.py",
    "sp/signin/verification.py",
    "sp/accounts/provisioning.py",
    "sp/policy/method_overrides.py",
    "sp/policy/decision.py",
    "sp/policy/raw_path.py",
    "sp/redirects.py",
    "sp/diagnosis/inspector.py",
    "sp/diagnosis/matching.py",
    "sp/diagnosis/near_misses.py",
    "idp/issuer.py",
    "idp/logout_tokens.py",
    "idp/people.py",
    "idp/presets.py",
    "idp/services.py",
    "idp/services_file.py",
)

# Frameworks, stores, the network, the clock and the environment: what a pure module is given instead.
NOT_IN_PURE_MODULES = {
    *("flask", "flask_login", "flask_sqlalchemy", "flask_wtf", "wtforms", "werkzeug", "jinja2", "granian"),
    *("sqlalchemy", "alembic", "sqlite3", "psycopg", "redis"),
    *("requests", "httpx", "urllib.request", "http.client", "socket"),
    *("time", "os", "dotenv"),
}
CLOCK_READINGS = {"time.time", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}

# Models, stores and migrations. A name that ends in "/" covers the folder.
SQLALCHEMY_LIVES_IN = (
    "shared/schema.py",
    "shared/counters.py",
    "shared/postgresql.py",
    "shared/sqlite.py",
    "sp/database/",
    "sp/migrations/",
    "sp/accounts/manage.py",
    "sp/accounts/rows.py",
    "sp/accounts/search.py",
    "sp/activity/",
    "sp/assertion/keys.py",
    "sp/diagnosis/trials.py",
    "sp/providers/apply.py",
    "sp/providers/changes.py",
    "sp/providers/edit.py",
    "sp/providers/jwks_cache.py",
    "sp/providers/rows.py",
    "sp/sessions/ending.py",
    "sp/sessions/listing.py",
    "sp/sessions/of_provider.py",
    "sp/sessions/store.py",
    "sp/signin/cleanup.py",
    "sp/signin/redis_replay.py",
    "sp/signin/replay.py",
    "sp/signin/throttling.py",
    "sp/signin/transaction.py",
    "sp/signout/apply.py",
    "idp/models.py",
    "idp/stores/",
    "idp/examples/",
    "idp/migrations/",
)
SQLALCHEMY = {"sqlalchemy", "flask_sqlalchemy", "alembic"}
JOSERFC_LIVES_IN = ("shared/",)
ENVIRONMENT_LIVES_IN = ("sp/config.py", "idp/config.py")


@dataclass(frozen=True)
class Module:
    """One source file: its path from the root, with "/", and its syntax tree."""

    path: str
    tree: ast.Module

    def lies_in(self, places: tuple[str, ...]) -> bool:
        return any(self.path.startswith(place) if place.endswith("/") else self.path == place for place in places)

    def at(self, node: ast.AST, what: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 0)}: {what}"

    def imports(self) -> Iterator[tuple[ast.AST, str]]:
        """Yield every imported name with its dots, wherever in the file it is imported.

        `from a import b` yields "a.b", as b may be a module; a rule compares by prefix, so "a" is found too.
        """
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node, alias.name
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    yield node, f"{self.origin(node)}.{alias.name}"

    def origin(self, node: ast.ImportFrom) -> str:
        """Return the absolute name of what is imported from, for `from .. import x` too."""
        if not node.level:
            return node.module or ""
        folders = self.path.split("/")[: -node.level]
        return ".".join([*folders, *([node.module] if node.module else [])])


def belongs_to(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def modules(root: Path) -> list[Module]:
    files = [path for part in PARTS for path in sorted((root / part).rglob("*.py"))]
    files = [path for path in files if "tests" not in path.relative_to(root).parts]  # idp/ brings its own along
    files += sorted(root.glob("run_*.py"))
    return [Module(path.relative_to(root).as_posix(), ast.parse(path.read_text(), path)) for path in files]


def parts_that_import_one_another(root: Path) -> list[str]:
    forbidden = {"shared": {"sp", "idp", NAME}, "sp": {"idp", NAME}, "idp": {"sp", NAME}}
    return [
        module.at(node, f"imports {name}")
        for module in modules(root)
        for node, name in module.imports()
        if belongs_to(name, forbidden.get(module.path.split("/")[0], set()))
    ]


def impure_imports(root: Path) -> list[str]:
    return [
        module.at(node, f"is pure, and imports {name}")
        for module in modules(root)
        if module.path in PURE_MODULES
        for node, name in module.imports()
        if belongs_to(name, NOT_IN_PURE_MODULES)
    ]


def pure_modules_that_lean_on_others(root: Path) -> list[str]:
    """Find pure modules that import one of ours that is not pure: purity is no deeper than its imports."""
    pure = {path.removesuffix(".py").replace("/", ".") for path in PURE_MODULES}
    return [
        module.at(node, f"is pure, and imports {name}, which is not")
        for module in modules(root)
        if module.path in PURE_MODULES
        for node, name in module.imports()
        if belongs_to(name, set(PARTS)) and not belongs_to(name, pure)
    ]


def clock_readings(root: Path) -> list[str]:
    return [
        module.at(node, f"is pure, and reads the clock: {ast.unparse(node.func)}()")
        for module in modules(root)
        if module.path in PURE_MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ".".join(ast.unparse(node.func).split(".")[-2:]) in CLOCK_READINGS
    ]


def stray_joserfc(root: Path) -> list[str]:
    return strays(root, {"joserfc"}, JOSERFC_LIVES_IN)


def stray_sqlalchemy(root: Path) -> list[str]:
    return strays(root, SQLALCHEMY, SQLALCHEMY_LIVES_IN)


def strays(root: Path, packages: set[str], places: tuple[str, ...]) -> list[str]:
    return [
        module.at(node, f"imports {name}, which belongs in {', '.join(places)}")
        for module in modules(root)
        if not module.lies_in(places)
        for node, name in module.imports()
        if belongs_to(name, packages)
    ]


def stray_environment(root: Path) -> list[str]:
    names = {"environ", "environb", "getenv", "putenv"}
    found = []
    for module in modules(root):
        if module.lies_in(ENVIRONMENT_LIVES_IN):
            continue
        for node in ast.walk(module.tree):
            match node:
                case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in names:
                    found.append(module.at(node, f"touches os.{name}, which config.py alone reads"))
                case ast.ImportFrom(module="os") if names & {alias.name for alias in node.names}:
                    found.append(module.at(node, "imports the environment, which config.py alone reads"))
    return found


Rule = Callable[[Path], list[str]]
RULES: dict[Rule, tuple[str, str]] = {
    # rule: a violation of it, as file and content
    parts_that_import_one_another: ("sp/policy/decision.py", "from idp.people import find"),
    impure_imports: ("sp/signin/verification.py", "def verify():\n    import flask.globals"),
    pure_modules_that_lean_on_others: ("sp/accounts/provisioning.py", "from . import models"),
    clock_readings: ("idp/issuer.py", "import datetime\nnow = datetime.datetime.now(datetime.UTC)"),
    stray_joserfc: ("sp/signin/verification.py", "from joserfc import jwt"),
    stray_sqlalchemy: ("sp/views/sso.py", "from flask_sqlalchemy import SQLAlchemy"),
    stray_environment: ("shared/serving.py", "import os\nprint(os.environ['HOME'])"),
}
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)


@each_rule
def test_the_source_keeps_to_the_arrows(rule: Rule) -> None:
    assert rule(ROOT) == []


@pytest.mark.parametrize("path", PURE_MODULES)
def test_every_module_that_is_called_pure_exists(path: str) -> None:
    assert (ROOT / path).is_file()


@each_rule
def test_a_planted_violation_is_found(rule: Rule, tmp_path: Path) -> None:
    path, content = RULES[rule]
    plant(tmp_path, path, content)
    found = rule(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(f"{path}:")


@each_rule
def test_what_is_allowed_is_not_found(rule: Rule, tmp_path: Path) -> None:
    plant(tmp_path, "shared/tokens.py", "from joserfc import jws\nfrom shared.errors import TokenMalformed")
    plant(tmp_path, "shared/web.py", "import os, time\nprint(os.getpid(), time.time())")
    plant(tmp_path, "sp/__init__.py", "from sp import models\nfrom .views import sso")
    plant(
        tmp_path,
        "sp/signin/verification.py",
        "import datetime\nfrom shared.claims import Claims\nfrom sp.providers import provider",
    )
    plant(tmp_path, "sp/database/models.py", "import sqlalchemy.orm")
    plant(tmp_path, "sp/migrations/versions/0001.py", "from alembic import op")
    plant(tmp_path, "sp/config.py", "from os import environ")
    plant(tmp_path, "idp/issuer.py", "def issue(clock):\n    return clock.now()")
    assert rule(tmp_path) == []


@pytest.mark.parametrize(
    "line",
    [
        "import idp",
        "import idp.people as people",
        "from idp import people",
        "from idp.people import find",
        "from lychgate import Gateway",
        "def late():\n    from idp import people",
        "from ...idp import people",
    ],
)
def test_an_import_is_found_in_every_spelling(line: str, tmp_path: Path) -> None:
    plant(tmp_path, "sp/views/sso.py", line)
    assert len(parts_that_import_one_another(tmp_path)) == 1


def plant(root: Path, path: str, content: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
