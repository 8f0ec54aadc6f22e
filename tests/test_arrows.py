"""Read the imports of every file, and hold them against the arrows between the parts.

`shared` is what two programs agree on, `sp` and `idp` are those programs, and the pure modules are the heart
of each: they take clock, keys, stores and settings as arguments, so they can be read and tested alone.
An import that runs against an arrow is easy to add and hard to take back; here it fails, by file and line.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("shared", "sp", "idp", "lab")  # the lab tests the programs from outside: it may import them, never the reverse
NAME = "lychgate"  # what an installation is called: it imports the parts, and no part imports it

# A module is pure if its docstring says so, and only there.
SAYS_PURE = re.compile(r"\bPure\b(?! but)")

OF_THE_PACKAGE = ("create_app", "create_wsgi", "log_format", "prepare", "reload")  # what sp/__init__.py offers
# The gateway's folders and modules, from the top to the bottom: each imports only what is below it.
FLOORS = (
    "sp",
    "sp.gateway",
    "sp.app",
    "sp.cli",
    "sp.admin",
    "sp.views",
    "sp.sample_app",
    "sp.current",
    "sp.components",
    "sp.reloading",
    "sp.config",
    "sp.known_settings",
    "sp.diagnosis",
    "sp.signout",
    "sp.sites",
    "sp.signin",
    "sp.accounts",
    "sp.providers",
    "sp.activity",
    "sp.outgoing_assertion",
    "sp.request",
    "sp.sessions",
    "sp.database",
    "sp.metrics_counters",
    "sp.rule_counters",
    "sp.events",
    "sp.policy",
    "sp.routes",
    "sp.redirects",
    "sp.emails",
)

# Frameworks, stores, the network, the clock and the environment: what a pure module is given instead.
NOT_IN_PURE_MODULES = {
    *("flask", "flask_login", "flask_sqlalchemy", "flask_wtf", "wtforms", "werkzeug", "jinja2", "granian"),
    *("sqlalchemy", "alembic", "sqlite3", "psycopg", "redis"),
    *("requests", "httpx", "urllib.request", "http.client", "socket"),
    *("time", "os", "dotenv"),
}
CLOCK_READINGS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
PROGRAMS = ("shared/", "sp/", "idp/", "run_sp.py", "run_idp.py")
CLOCK_LIVES_IN = ("shared/clock.py",)

# Models, stores and migrations. A name that ends in "/" covers the folder.
SQLALCHEMY_LIVES_IN = (
    "shared/schema.py",
    "shared/rate_limit_storage.py",
    "shared/postgresql.py",
    "shared/sqlite.py",
    "shared/kept_connection.py",
    "shared/utc_datetime.py",
    "sp/database/",
    "sp/migrations/",
    "sp/accounts/administrators.py",
    "sp/accounts/manage.py",
    "sp/accounts/personal_data.py",
    "sp/accounts/rows.py",
    "sp/accounts/search.py",
    "sp/activity/",
    "sp/outgoing_assertion/keys.py",
    "sp/diagnosis/trials.py",
    "sp/providers/apply.py",
    "sp/providers/changes.py",
    "sp/providers/edit.py",
    "sp/providers/jwks_cache.py",
    "sp/providers/opened_sessions.py",
    "sp/providers/rows.py",
    "sp/sessions/at_sites.py",
    "sp/sessions/ending.py",
    "sp/sessions/held.py",
    "sp/sessions/listing.py",
    "sp/sessions/store.py",
    "sp/signin/cleanup.py",
    "sp/signin/logbook.py",
    "sp/signin/redis_replay.py",
    "sp/signin/replay.py",
    "sp/signin/throttling.py",
    "sp/signin/transaction.py",
    "sp/signout/incoming.py",
    "sp/sites/landing.py",
    "sp/sites/stored.py",
    "idp/models.py",
    "idp/stores/",
    "idp/examples/",
    "idp/migrations/",
    "lab/in_process/snapshot.py",
)
SQLALCHEMY = {"sqlalchemy", "flask_sqlalchemy", "alembic"}
JOSERFC_LIVES_IN = ("shared/",)
# In the gateway, the folders that answer a browser, a client or an operator, and what holds them together.
FLASK = {"flask", "flask_login", "flask_wtf"}
FLASK_LIVES_IN = (
    *("sp/admin/", "sp/cli/", "sp/views/"),
    *("sp/__init__.py", "sp/app.py", "sp/current.py", "sp/sample_app.py"),
    *(
        "sp/gateway/middleware.py",
        "sp/gateway/asgi.py",
        "sp/gateway/in_process.py",
    ),  # for the type of our own application
    "sp/sessions/cookies.py",  # Flask's session interface
    *("shared/web.py", "shared/look.py", "shared/languages.py", "shared/current.py", "shared/request_limits.py"),
    *("idp/", "lab/"),
)
# The lab starts programs, each with its environment; NO_COLOR and TERM are of the terminal, and no settings of ours.
ENVIRONMENT_LIVES_IN = ("sp/config.py", "idp/config.py", "shared/cli_output.py", "lab/")


@dataclass(frozen=True)
class Module:
    """One source file: its path from the root, with "/", and its syntax tree."""

    path: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """The name by which it is imported."""
        return self.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    @property
    def is_pure(self) -> bool:
        """Whether it says that it is."""
        return SAYS_PURE.search(ast.get_docstring(self.tree) or "") is not None

    def lies_in(self, places: tuple[str, ...]) -> bool:
        return any(self.path.startswith(place) if place.endswith("/") else self.path == place for place in places)

    def at(self, node: ast.AST, what: str) -> str:
        return f"{self.path}:{getattr(node, 'lineno', 0)}: {what}"

    def imports(self, *, for_types: bool = True) -> Iterator[tuple[ast.AST, str]]:
        """Yield every imported name with its dots, wherever in the file it is imported.

        Without *for_types*, imports below `if TYPE_CHECKING` are left out.

        `from a import b` yields "a.b", as b may be a module; a rule compares by prefix, so "a" is found too.
        """
        left_out = (
            set()
            if for_types
            else {node for block in self.tree.body if is_for_types(block) for node in ast.walk(block)}
        )
        for node in ast.walk(self.tree):
            if node in left_out:
                continue
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


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def belongs_to(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def modules(root: Path) -> list[Module]:
    files = [path for part in PARTS for path in sorted((root / part).rglob("*.py"))]
    files = [path for path in files if "tests" not in path.relative_to(root).parts]  # idp/ brings its own along
    files += sorted(root.glob("run_*.py"))
    return [Module(path.relative_to(root).as_posix(), parsed(path.read_text())) for path in files]


@cache
def parsed(text: str) -> ast.Module:
    """Parse a file once for all rules."""
    return ast.parse(text)


def parts_that_import_one_another(root: Path) -> list[str]:
    forbidden = {
        "shared": {"sp", "idp", "lab", NAME},
        "sp": {"idp", "lab", NAME},
        "idp": {"sp", "lab", NAME},
        "lab": {NAME},
    }
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
        if module.is_pure
        for node, name in module.imports()
        if belongs_to(name, NOT_IN_PURE_MODULES)
    ]


def pure_modules_that_lean_on_others(root: Path) -> list[str]:
    """Find pure modules that import one of ours that is not pure: a module is only as pure as its imports.

    What is imported for its types alone is not run, so it does not count.
    """
    found = modules(root)
    ours, pure = {module.name for module in found}, {module.name for module in found if module.is_pure}
    return [
        module.at(node, f"is pure, and imports {name}, which is not")
        for module in found
        if module.is_pure
        for node, name in module.imports(for_types=False)
        if belongs_to(name, set(PARTS)) and nearest(name, ours) not in pure | set(PARTS)
    ]


def nearest(name: str, ours: set[str]) -> str:
    """Return the module that an imported *name* is, or is in."""
    while name and name not in ours:
        name = name.rpartition(".")[0]
    return name


def imports_of_a_higher_floor(root: Path) -> list[str]:
    return [
        module.at(node, f"imports {name}, which is above it, or on no floor yet")
        for module in modules(root)
        if module.path.startswith("sp/") and "migrations" not in module.path
        for node, name in module.imports()
        if belongs_to(name, {"sp"}) and not is_below(name, module.name)
    ]


def is_below(imported: str, importer: str) -> bool:
    """Tell whether *importer* may import *imported*: from the same folder or a lower one."""
    theirs, own = floor_of(imported), floor_of(importer)
    return theirs == own or -1 < own < theirs


def floor_of(name: str) -> int:
    """Return the number of the floor, from the top; -1 for a folder that has none."""
    floors = [number for number, floor in enumerate(FLOORS) if floor != "sp" and belongs_to(name, {floor})]
    if floors:
        return floors[0]
    is_top = name == "sp" or name.removeprefix("sp.") in OF_THE_PACKAGE
    return 0 if is_top else -1


def clock_readings(root: Path) -> list[str]:
    return [
        module.at(node, f"is pure, and reads the clock: {ast.unparse(node.func)}()")
        for module in modules(root)
        if module.is_pure
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and ".".join(ast.unparse(node.func).split(".")[-2:]) in CLOCK_READINGS
    ]


def stray_clocks(root: Path) -> list[str]:
    """Find readings of the time of day that a test could not move, handed on as functions too."""
    return [
        module.at(node, f"mentions {ast.unparse(node)}: time_now and utc_now of shared/clock.py read the time of day")
        for module in modules(root)
        if module.lies_in(PROGRAMS) and not module.lies_in(CLOCK_LIVES_IN)
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Attribute) and ".".join(ast.unparse(node).split(".")[-2:]) in CLOCK_READINGS)
        or (isinstance(node, ast.ImportFrom) and node.module == "time" and "time" in {a.name for a in node.names})
    ]


def moved_clocks(root: Path) -> list[str]:
    """Find what could move the clock of a program that serves people: only shared/clock.py may mention `ahead`."""
    return [
        module.at(node, "moves the clock, which lab/clock.py alone may do")
        for module in modules(root)
        if not module.lies_in((*CLOCK_LIVES_IN, "lab/clock.py"))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr == "ahead" and ast.unparse(node.value).endswith("clock")
    ]


def stray_joserfc(root: Path) -> list[str]:
    return strays(root, {"joserfc"}, JOSERFC_LIVES_IN)


def stray_flask(root: Path) -> list[str]:
    return strays(root, FLASK, FLASK_LIVES_IN)


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


PURE = '"""Decide something. Pure."""'
Rule = Callable[[Path], list[str]]
RULES: dict[Rule, tuple[str, str]] = {
    # rule: a violation of it, as file and content
    parts_that_import_one_another: ("sp/policy/decision.py", "from idp.people import find"),
    impure_imports: ("sp/signin/verification.py", f"{PURE}\ndef verify():\n    import flask.globals"),
    pure_modules_that_lean_on_others: ("sp/accounts/provisioning.py", f"{PURE}\nfrom . import rows"),
    imports_of_a_higher_floor: ("sp/policy/rules.py", "from sp.gateway.middleware import Gateway"),
    clock_readings: ("idp/issuer.py", f"{PURE}\nimport datetime\nnow = datetime.datetime.now(datetime.UTC)"),
    stray_clocks: ("sp/views/sso.py", "import time\ndef start(clock=time.time): pass"),
    moved_clocks: ("sp/config.py", "from shared import clock\nclock.ahead = 7200"),
    stray_joserfc: ("sp/signin/verification.py", "from joserfc import jwt"),
    stray_flask: ("sp/signin/transaction.py", "from flask import g"),
    stray_sqlalchemy: ("sp/views/sso.py", "from flask_sqlalchemy import SQLAlchemy"),
    stray_environment: ("shared/serving.py", "import os\nprint(os.environ['HOME'])"),
}
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)


@each_rule
def test_the_source_keeps_to_the_arrows(rule: Rule) -> None:
    assert rule(ROOT) == []


def test_the_heart_is_pure() -> None:
    pure = {module.path for module in modules(ROOT) if module.is_pure}
    assert pure >= {
        "shared/tokens.py",
        "sp/accounts/provisioning.py",
        "sp/policy/decision.py",
        "sp/signin/verification.py",
        "sp/signout/tokens.py",
        "idp/issuer.py",
    }


@pytest.mark.parametrize("floor", FLOORS)
def test_every_floor_is_a_folder_or_a_module(floor: str) -> None:
    path = ROOT / floor.replace(".", "/")
    assert path.is_dir() or path.with_suffix(".py").is_file()


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
    plant(tmp_path, "shared/web.py", "import os, time\nprint(os.getpid(), time.monotonic())")
    plant(tmp_path, "shared/clock.py", "import time\nahead = 0.0\ndef time_now(): return time.time() + ahead")
    plant(tmp_path, "lab/clock.py", "from shared import clock\nclock.ahead += 7200")
    plant(tmp_path, "shared/claims.py", PURE)
    plant(tmp_path, "sp/__init__.py", "from sp import config\nfrom .views import sso\nfrom sp.app import create_app")
    plant(tmp_path, "sp/providers/provider.py", PURE)
    plant(
        tmp_path,
        "sp/signin/verification.py",
        f"{PURE}\nimport datetime\nfrom shared.claims import Claims\nfrom sp.providers import provider",
    )
    plant(tmp_path, "sp/database/models.py", "import sqlalchemy.orm")
    plant(tmp_path, "sp/migrations/versions/0001.py", "from alembic import op")
    plant(tmp_path, "sp/config.py", "from os import environ")
    plant(tmp_path, "lab/pair.py", "import sp, idp.people\nfrom shared.web import x\nimport os\nos.environ")
    plant(tmp_path, "idp/issuer.py", f"{PURE}\ndef issue(clock):\n    return clock.now()")
    assert rule(tmp_path) == []


@pytest.mark.parametrize(
    "line",
    [
        "import idp",
        "import lab",
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
