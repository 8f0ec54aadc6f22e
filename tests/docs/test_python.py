"""The Python of the documents compiles, and the Flask application of the guide is protected as it is written."""

import runpy
from pathlib import Path

import pytest
from werkzeug.test import Client

from tests.docs.documents import Block, blocks

PYTHON = [block for block in blocks() if block.language == "python"]
IN_A_CHECKOUT = ("from lychgate import Gateway", "from sp.gateway import Gateway")  # as the guide says


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: f"{block.document}: {block.body.splitlines()[0]}")
def test_a_block_of_python_compiles(block: Block) -> None:
    compile(block.body, block.document, "exec")


def test_the_flask_application_of_the_guide_is_protected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SP_INSTANCE", str(tmp_path / "instance"))
    (code,) = (block.body for block in PYTHON if "from flask import" in block.body and IN_A_CHECKOUT[0] in block.body)
    assert IN_A_CHECKOUT[0] in code
    (tmp_path / "shop.py").write_text(code.replace(*IN_A_CHECKOUT), encoding="utf-8")
    application = runpy.run_path(str(tmp_path / "shop.py"), run_name="shop")["application"]
    answer = Client(application).get("/", headers={"Accept": "text/html", "Host": "127.0.0.1:5000"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://127.0.0.1:5000/sso/start?return_to=%2F")
