"""The guides' examples of services and providers are valid as they are written."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from idp.presets import PRESETS
from idp.services_file import parse_service
from shared.errors import REJECTIONS
from shared.keys import generate_key, public_pem
from sp.policy.rules import parse_rules
from sp.providers.settings_parser import parse_provider
from sp.routes import Routes

GUIDES = Path(__file__).resolve().parents[1] / "docs" / "guides"
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in sorted(GUIDES.glob("*.md")))
TROUBLESHOOTING = (GUIDES / "troubleshooting.md").read_text(encoding="utf-8")
EXAMPLES = [tomllib.loads(block) for block in re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)]
SERVICES = {name: table for example in EXAMPLES for name, table in example.get("services", {}).items()}
PROVIDERS = [pair for example in EXAMPLES for pair in example.get("providers", {}).items()]
RULES = [rules for example in EXAMPLES if (rules := example.get("rules"))]
KEY = "what the environment or the file would hold, long enough"


@pytest.mark.parametrize("name", SERVICES)
def test_every_example_of_a_service_is_taken(name: str) -> None:
    service = parse_service(name, with_key(SERVICES[name])).service
    assert service.return_url.startswith("https://")


@pytest.mark.parametrize(("name", "table"), PROVIDERS)
def test_every_example_of_a_provider_is_taken(name: str, table: dict[str, Any]) -> None:
    assert parse_provider(name, with_key(table)).login_url.startswith("https://")


def test_every_example_of_rules_is_taken() -> None:
    assert [len(parse_rules(rules, Routes())) for rules in RULES] == [2, 1]


def test_there_is_an_example_for_every_preset() -> None:
    assert {table["preset"] for table in SERVICES.values()} == set(PRESETS)


def test_every_code_is_explained() -> None:
    explained = re.findall(
        r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", TROUBLESHOOTING.partition("## Error codes")[2], re.MULTILINE
    )
    assert set(REJECTIONS) == set(re.findall(r"`([a-z_]+)`", " ".join(explained)))


def test_the_pair_of_examples_for_our_own_gateway_fits_together() -> None:
    gate = parse_service("gate", with_key(SERVICES["gate"])).service
    (table,) = (table for _name, table in PROVIDERS if table.get("preset") == "strict")
    corporate = parse_provider("corporate", with_key(table))
    assert gate.algorithm == corporate.algorithm
    assert corporate.audience.expected == gate.origin
    assert corporate.login_url.startswith(f"{corporate.issuer.expected}/")
    assert gate.delivery in corporate.deliveries


def with_key(table: dict[str, Any]) -> dict[str, Any]:
    """Return the entry with keys in place of the names of files and variables that hold them."""
    algorithm = table.get("algorithm", "HS256")
    private = KEY if algorithm.startswith("HS") else generate_key(algorithm)
    public = private if algorithm.startswith("HS") else public_pem(private)
    return table | {name: [key] for name, key in (("keys", private), ("logout_keys", public)) if table.get(name)}
