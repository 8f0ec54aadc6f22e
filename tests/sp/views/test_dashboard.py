"""The dashboard for Grafana asks for metrics, labels and values that /metrics really gives, and forgets none."""

import json
import re
import time
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import Client
from werkzeug.wrappers import Response

from lab.cast import ALICE
from lab.minting import mint
from sp.gateway import Gateway
from sp.metrics_counters import TIMED_EVERY
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY
from tests.support.gateway import URL, core_of

ROOT = Path(__file__).parents[3]
FILE = ROOT / "examples" / "grafana" / "dashboard.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]
WORDS_OF_PROMQL = {"sum", "min", "max", "topk", "by", "rate", "increase", "histogram_quantile"}
NAME = re.compile(r"\blychgate_\w+")
SELECTOR = re.compile(r'\b(lychgate_\w+)\{(\w+)="([^"]+)"\}')
GROUPING = re.compile(r"\bby \(([^)]+)\)")

Given = dict[str, dict[str, set[str]]]


@pytest.fixture
def given(gateway: MakeGateway, tmp_path: Path) -> Given:
    """The values of each label of each metric, of a gateway that has done a bit of everything."""
    file = tmp_path / "rules.toml"
    file.write_text('[[rules]]\npath = "/courses"\nallow = "anyone"\nshadow = true\n')
    own = gateway({"corporate": {**CORPORATE, "unsolicited": "accept"}}, SP_CONFIG=str(file))
    client = Client(Gateway(Response("the application"), own))
    now = int(time.time())
    for expires_at in (now + 60, 1):
        token = mint({"iat": now, "exp": expires_at, "jti": str(expires_at), "email": ALICE.email}, KEY)
        client.get("/sso/login/jwt", URL, query_string={"jwt": token})
    client.get("/courses", URL)
    core_of(own).margins.flush()
    found: Given = defaultdict(lambda: defaultdict(set))
    text = client.get("/metrics", URL, environ_overrides={"REMOTE_ADDR": "127.0.0.1"}).text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name]  # a metric without labels
            for label, value in sample.labels.items():
                found[sample.name][label].add(value)
    return dict(found)


def test_every_query_names_metrics_labels_and_values_that_exist(given: Given) -> None:
    for title, target in TARGETS:
        asked = target["expr"]
        names = NAME.findall(asked)
        assert names, title
        assert set(names) <= given.keys(), title
        for name, label, value in SELECTOR.findall(asked):
            assert value in given[name][label], title
        groups = {label.strip() for grouping in GROUPING.findall(asked) for label in grouping.split(",")}
        for name in names:
            assert groups <= given[name].keys(), title
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= groups, title


def test_no_query_has_a_word_that_is_neither_of_ours_nor_of_prometheus() -> None:
    for title, target in TARGETS:
        rest = GROUPING.sub("by", NAME.sub("", SELECTOR.sub("", target["expr"])))
        rest = rest.replace("[$__rate_interval]", "").replace("[1h]", "")
        assert set(re.findall(r"[a-z_]{2,}", rest)) <= WORDS_OF_PROMQL, title
        assert set(re.sub(r"[\w\s.,*/>]", "", rest)) <= {"(", ")"}, title
        assert rest.count("(") == rest.count(")"), title


def test_every_metric_is_on_the_dashboard(given: Given) -> None:
    asked = {name for _title, target in TARGETS for name in NAME.findall(target["expr"])}
    of_histograms = {name for name in given if name.endswith(("_bucket", "_sum", "_count"))}
    assert given.keys() - of_histograms <= asked
    assert {name for name in of_histograms if name.endswith("_bucket")} <= asked


def test_it_can_be_imported_anywhere_because_it_names_no_data_source_of_ours() -> None:
    sources = [panel["datasource"] for panel in PANELS] + [target["datasource"] for _title, target in TARGETS]
    assert {json.dumps(source) for source in sources} == {'{"type": "prometheus", "uid": "${datasource}"}'}
    assert [(one["name"], one["type"]) for one in DASHBOARD["templating"]["list"]] == [("datasource", "datasource")]


def test_no_two_panels_are_in_one_place() -> None:
    assert len({panel["id"] for panel in PANELS}) == len({panel["title"] for panel in PANELS}) == len(PANELS)
    for one, other in combinations((panel["gridPos"] for panel in PANELS), 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert is_beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


@pytest.mark.parametrize("file", [FILE, ROOT / "docs" / "deploying.md"])
def test_it_is_said_how_many_decisions_are_timed(file: Path) -> None:
    assert f"one request in {TIMED_EVERY} is timed" in file.read_text("utf-8").lower()
