"""Change the most important modules in small ways, one at a time, and see whether a test fails: `make mutation`.

There are two runs. mutmut changes code inside the functions of MODULES. The second run makes the changes in HAND_MADE.
They are in code for which mutmut has no mutants: code outside of functions (the list of checks, the alphabets, the
limits), and shared/signatures.py, whose functions are created when it is imported, too early for mutmut. Both runs
change a copy of the source. A change that no test notices is called a survivor. A survivor is accepted only if
docs/mutation.md shows its line and says why it is equivalent to the original.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXPLAINED = ROOT / "docs" / "mutation.md"
TOKENS, SIGNATURES, VERIFICATION = "shared/tokens.py", "shared/signatures.py", "sp/signin/verification.py"
# mutmut chooses a mutant when a function is called. The functions in SIGNATURES are created once, when the module is
# imported, which is too early for mutmut to choose a mutant.
MODULES = (VERIFICATION, TOKENS)
TESTS = (
    *("tests/shared/test_tokens.py", "tests/shared/test_signatures.py"),
    *("tests/sp/signin/test_verification.py", "tests/attacks/test_token_cases.py"),
)
PARTS = ("shared", "sp", "tests", "lab", "idp")  # mutmut changes the first two; the tests import the others
DIRECT = "not the_gateway_decides and not on_the_error_page"  # only cases that call `verify` without HTTP
SECONDS = 120  # limit for a whole run of the tests; a mutant may loop for ever

HAND_MADE: tuple[tuple[str, str, str], ...] = (
    (TOKENS, "MAX_TOKEN_BYTES = 8192", "MAX_TOKEN_BYTES = 8191"),
    (TOKENS, "MAX_TOKEN_BYTES = 8192", "MAX_TOKEN_BYTES = 8193"),
    (TOKENS, "MAX_DEPTH = 32", "MAX_DEPTH = 31"),
    (TOKENS, "MAX_DEPTH = 32", "MAX_DEPTH = 33"),
    (TOKENS, 'SIGN_IN_TYPE = "JWT"', 'SIGN_IN_TYPE = "JWS"'),
    (TOKENS, '_BASE64URL + b"."', '_BASE64URL + b".="'),
    (TOKENS, '_BASE64URL + b"."', '_BASE64URL + b".+/"'),
    (TOKENS, '_BASE64URL + b"."', '_BASE64URL + b". "'),
    (TOKENS, '_BASE64URL + b"."', '_BASE64URL + b".?"'),
    (TOKENS, '1: b"",', "1: _BASE64URL,"),
    (TOKENS, "2: _BASE64URL[::16]", "2: _BASE64URL[::8]"),
    (TOKENS, "3: _BASE64URL[::4]", "3: _BASE64URL[::2]"),
    (TOKENS, 'maketrans(b"-_", b"+/")', 'maketrans(b"_-", b"+/")'),
    (TOKENS, r'rb"(?<!\\)(?:\\\\)*\\u0000"', r'rb"\\u0000"'),
    (TOKENS, r'_JSON_SPACE = " \t\n\r"', r'_JSON_SPACE = " \t\n"'),
    (TOKENS, r'_JSON_SPACE = " \t\n\r"', r'_JSON_SPACE = " \t\n\r\0"'),
    (TOKENS, r'_JSON_SPACE = " \t\n\r"', r'_JSON_SPACE = " \t\n\r\u00a0"'),
    (TOKENS, '("typ", "kid", "cty")', '("kid", "cty")'),
    (TOKENS, '("typ", "kid", "cty")', '("typ", "cty")'),
    (TOKENS, '("typ", "kid", "cty")', '("typ", "kid")'),
    (TOKENS, "object_pairs_hook=_object, ", ""),
    (TOKENS, "parse_constant=_refuse, ", ""),
    (TOKENS, ", parse_float=_finite", ""),
    (TOKENS, 'r"(?i)\\b(jwt', 'r"\\b(jwt'),
    (TOKENS, "(?<![A-Za-z0-9_-])(?:", "(?:"),
    (TOKENS, 'r"e[yw][', 'r"e[y]['),
    (SIGNATURES, '"HS256": _hmac("sha256")', '"HS256": _hmac("sha384")'),
    (
        SIGNATURES,
        "return hmac.compare_digest(hmac.new(key.raw_value, signed, name).digest(), signature)",
        "return True",
    ),
    (
        SIGNATURES,
        "signed, padding, hash_algorithm)\n        except InvalidSignature:\n            return False",
        "signed, padding, hash_algorithm)\n        except InvalidSignature:\n            return True",
    ),
    (
        SIGNATURES,
        "signed, method)\n        except InvalidSignature:\n            return False",
        "signed, method)\n        except InvalidSignature:\n            return True",
    ),
    (SIGNATURES, "            return False\n        numbers", "            pass\n        numbers"),
    (SIGNATURES, "len(signature) != 2 * size", "len(signature) > 2 * size"),
    (SIGNATURES, "len(signature) != 2 * size", "len(signature) < 2 * size"),
    (SIGNATURES, 'first.to_bytes(size, "big") + second', 'second.to_bytes(size, "big") + second'),
    (SIGNATURES, 'from_bytes(signature[size:], "big")', 'from_bytes(signature[size:], "little")'),
    (SIGNATURES, '        raise ValueError("a public key cannot sign")', "        return key.public_key"),
    (SIGNATURES, '"RS384": _rsa(SHA384())', '"RS384": _rsa(SHA256())'),
    (SIGNATURES, "_ecdsa(SHA256(), 32)", "_ecdsa(SHA256(), 33)"),
    (SIGNATURES, "_ecdsa(SHA384(), 48)", "_ecdsa(SHA512(), 48)"),
    (SIGNATURES, "_ecdsa(SHA512(), 66)", "_ecdsa(SHA512(), 64)"),
    (VERIFICATION, "MAX_TOKEN_ID_LENGTH = 512", "MAX_TOKEN_ID_LENGTH = 511"),
    (VERIFICATION, "MAX_TOKEN_ID_LENGTH = 512", "MAX_TOKEN_ID_LENGTH = 513"),
    (VERIFICATION, "REMEMBERED_LONGER = 300", "REMEMBERED_LONGER = 299"),
    (VERIFICATION, "MAX_EMAIL_LENGTH = 254", "MAX_EMAIL_LENGTH = 253"),
    (VERIFICATION, "MAX_EMAIL_LENGTH = 254", "MAX_EMAIL_LENGTH = 255"),
    (VERIFICATION, '_NOTHING = (None, "")', "_NOTHING = (None,)"),
    (VERIFICATION, '_NOTHING = (None, "")', '_NOTHING = ("",)'),
    (VERIFICATION, '("Cc", "Cf", "Zl", "Zp")', '("Cf", "Zl", "Zp")'),
    (VERIFICATION, '("Cc", "Cf", "Zl", "Zp")', '("Cc", "Zl", "Zp")'),
    (VERIFICATION, '("Cc", "Cf", "Zl", "Zp")', '("Cc", "Cf", "Zp")'),
    (VERIFICATION, '("Cc", "Cf", "Zl", "Zp")', '("Cc", "Cf", "Zl")'),
    (VERIFICATION, r"@[!-\-/-?A-~]+(?:\.[!-\-/-?A-~]+)+\Z", r"@[!-\-/-?A-~]+(?:\.[!-\-/-?A-~]+)*\Z"),
    (VERIFICATION, r"@[!-\-/-?A-~]+(?:\.[!-\-/-?A-~]+)+\Z", r"@[!-\-/-?A-~]+(?:\.[!-\-/-?A-~]+)+"),
    (VERIFICATION, r"@[!-\-/-?A-~]+(?:\.[!-\-/-?A-~]+)+\Z", r"@[!-~]+(?:\.[!-\-/-?A-~]+)+\Z"),
    (VERIFICATION, '{"alg", "typ", "kid"}', '{"alg", "typ", "kid", "jku"}'),
    (VERIFICATION, '{"alg", "typ", "kid"}', '{"alg", "kid"}'),
    (VERIFICATION, '{"alg", "typ", "kid"}', '{"alg", "typ"}'),
    (VERIFICATION, '("scope", "client_id", "purpose")', '("client_id", "purpose")'),
    (VERIFICATION, '("scope", "client_id", "purpose")', '("scope", "purpose")'),
    (VERIFICATION, '("scope", "client_id", "purpose")', '("scope", "client_id")'),
    *(
        (VERIFICATION, f"    {check},\n", "")
        for check in (
            *("check_type", "check_required", "check_token_id", "check_issuer", "check_audience", "check_not_before"),
            *("check_expiry", "check_age", "check_strict_header", "check_strict_foreign", "check_strict_lifetime"),
            *("check_strict_email", "check_strict_text", "check_strict_audience"),
        )
    ),
)

PYPROJECT = f"""
[tool.pytest.ini_options]
pythonpath = ["."]
filterwarnings = ["error"]

[tool.mutmut]
source_paths = ["shared", "sp"]
only_mutate = {list(MODULES)}
also_copy = {list(PARTS[2:])}
pytest_add_cli_args = ["-q", "-x", "-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {[*TESTS, "-k", DIRECT]}
"""


def main() -> int:
    """Do both runs, and print the survivors that are not explained. Return 1 if there are any, else 0."""
    explained = {without_comment(line) for line in re.findall("`([^`\n]+)`", EXPLAINED.read_text())}
    with tempfile.TemporaryDirectory(prefix="lychgate-mutation-") as folder:
        copy = copy_source(Path(folder))
        survivors = [*mutmut_survivors(copy), *hand_made_survivors(copy)]
    unexplained = [(where, line) for where, line in survivors if without_comment(line) not in explained]
    print(f"\n{len(survivors)} survivors, {len(survivors) - len(unexplained)} of them explained in {EXPLAINED.name}.")
    for where, line in unexplained:
        print(f"  {where}: {line.strip()}")
    return 1 if unexplained else 0


def without_comment(line: str) -> str:
    """Return a line of code without its comment, so that a comment can change without a change in docs/mutation.md."""
    return line.split("  # ")[0].strip()


def copy_source(folder: Path) -> Path:
    """Copy the files that the tests need into *folder*, with PYPROJECT instead of the project's pyproject.toml."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pyproject.toml").write_text(PYPROJECT)
    return folder


def mutmut_survivors(copy: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the changed line of each mutant by mutmut that no test noticed."""
    mutmut = [sys.executable, "-m", "mutmut"]
    with (copy / "mutmut.log").open("w") as log:  # its output is an animation
        subprocess.run([*mutmut, "run"], cwd=copy, check=True, stdout=log)
    results = subprocess.run([*mutmut, "results"], cwd=copy, check=True, capture_output=True, text=True).stdout
    for result in results.splitlines():
        name, _colon, state = result.strip().partition(": ")
        if state == "timeout":
            continue  # the tests did not end, so the mutant counts as noticed
        shown = subprocess.run([*mutmut, "show", name], cwd=copy, check=True, capture_output=True, text=True).stdout
        lines = [line[1:] for line in shown.splitlines() if line.startswith("+") and not line.startswith("+++")]
        yield f"{name} ({state})", " ".join(line.strip() for line in lines)


def hand_made_survivors(copy: Path) -> Iterator[tuple[str, str]]:
    """Yield the module and the change of each mutant from HAND_MADE that no test noticed."""
    shutil.rmtree(copy / "mutants", ignore_errors=True)
    if not notice_nothing(copy):
        raise SystemExit("The tests fail without any change.")
    for module, old, new in HAND_MADE:
        original = (ROOT / module).read_text()
        if old not in original:
            raise SystemExit(f"{module} has no {old!r} any more: bring tools/mutation.py up to date.")
        (copy / module).write_text(original.replace(old, new, 1))
        survived = notice_nothing(copy)
        (copy / module).write_text(original)
        print("survived" if survived else "noticed ", f"{old.strip()} -> {new.strip() or '(nothing)'}", flush=True)
        if survived:
            yield module, f"{old.strip()} -> {new.strip() or '(nothing)'}"


def notice_nothing(copy: Path) -> bool:
    """Tell whether all tests pass on the source in *copy*."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS, "-k", DIRECT]
    try:
        return subprocess.run(command, cwd=copy, capture_output=True, timeout=SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


if __name__ == "__main__":
    sys.exit(main())
