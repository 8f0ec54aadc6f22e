"""The files for several sites agree with those for one and with each other. tests/attacks starts and attacks them."""

import difflib
import re
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from sp import config
from sp.sites.site import Site
from tests.examples.servers import EXAMPLES

HOME = "app.example.org"
PAIRS = {
    "nginx/sites.conf": "nginx/nginx.conf",
    "caddy/sites.Caddyfile": "caddy/Caddyfile",
    "haproxy/sites.cfg": "haproxy/haproxy.cfg",
    "apache/sites.conf": "apache/lychgate.conf",
    "traefik/sites.yml": "traefik/dynamic.yml",
}
# The lines of a file for one site that name the site or its application: the others must be in the file for several.
OF_ONE_SITE = {
    "nginx/sites.conf": {
        "proxy_pass http://127.0.0.1:8000;",
        "map $http_cookie $cookies_of_the_application {",
        '"~^(?<before>(?:.*; ?)?)(?:__Host-)?sp_session=[^;]*(?:; ?)?(?<after>.*)$" $before$after;',
    },
    "caddy/sites.Caddyfile": {
        "{$LYCHGATE_SITE:http://127.0.0.1:8080} {",
        "reverse_proxy {$LYCHGATE_APPLICATION:127.0.0.1:8000} {",
    },
    "haproxy/sites.cfg": {"frontend site"},
    "apache/sites.conf": set[str](),
    "traefik/sites.yml": {"application:", 'rule: "PathPrefix(`/`)"', "service: application"},
}


def lines(file: str) -> list[str]:
    """Return the lines of a file without indentation and comments."""
    found = [line.strip() for line in (EXAMPLES / file).read_text().splitlines()]
    return [line for line in found if line and not line.startswith("#")]


@pytest.mark.parametrize("file", PAIRS)
def test_what_protects_one_site_protects_several(file: str) -> None:
    """A line that is added to one of the two files, or removed from it, is missing in the other."""
    difference = list(difflib.ndiff(lines(PAIRS[file]), lines(file)))
    assert {line[2:] for line in difference if line.startswith("- ")} == OF_ONE_SITE[file]


@pytest.mark.parametrize("file", PAIRS)
def test_each_recipe_names_the_sites_of_the_file_for_the_gateway(file: str, tmp_path: Path) -> None:
    hosts = {site.netloc for site in sites(tmp_path)}
    named = set(re.findall(r"\b[a-z]+\.example\.(?:org|com)\b", "\n".join(lines(file))))
    assert named == hosts


def test_the_file_for_the_gateway_is_good(tmp_path: Path) -> None:
    home, wiki, shop = sites(tmp_path)
    assert [site.url for site in (home, wiki, shop)] == [
        "https://app.example.org",
        "https://wiki.example.org",
        "https://shop.example.com",
    ]
    assert [len(site.rules) for site in (home, wiki, shop)] == [2, 2, 2]


@pytest.mark.parametrize("file", ["traefik/dynamic.yml", "traefik/sites.yml"])
def test_the_files_for_traefik_name_nothing_that_they_do_not_define(file: str) -> None:
    """They are only read, because Traefik is not a package of the distribution."""
    document = yaml.safe_load((EXAMPLES / file).read_text())
    assert set(document) == {"http"}
    routers, middlewares, services = (document["http"][kind] for kind in ("routers", "middlewares", "services"))
    for router in routers.values():
        assert set(router) == {"rule", "priority", "entryPoints", "middlewares", "service"}
        assert router["service"] in services
        assert set(router["middlewares"]) <= set(middlewares)
    assert {key for middleware in middlewares.values() for key in middleware} == {
        *("ipAllowList", "headers", "forwardAuth"),
    }
    removed = middlewares["without-identity"]["headers"]["customRequestHeaders"]
    assert set(removed.values()) == {""}
    assert middlewares["lychgate"]["forwardAuth"]["trustForwardHeader"] is False
    assert "No test runs it." in (EXAMPLES / file).read_text()


def test_each_site_behind_traefik_is_asked_about_and_has_its_application(tmp_path: Path) -> None:
    document = yaml.safe_load((EXAMPLES / "traefik/sites.yml").read_text())["http"]
    for site in sites(tmp_path):
        router = document["routers"][site.name]
        assert router["rule"] == f"Host(`{site.netloc}`)"
        assert router["middlewares"] == ["without-request-id", "without-identity", "lychgate"]
        assert router["service"] == site.name
    urls = [server["url"] for each in document["services"].values() for server in each["loadBalancer"]["servers"]]
    assert len(set(urls)) == len(document["services"]) == 4
    priorities = {name: router["priority"] for name, router in document["routers"].items()}
    assert (
        priorities["lychgate-questions"]
        > priorities["lychgate-own"]
        > max(priorities[site.name] for site in sites(tmp_path))
    )


def sites(folder: Path) -> tuple[Site, ...]:
    """Return the sites that examples/sites.toml gives the gateway."""
    settings = {
        "SP_INSTANCE": str(folder),
        "SP_SECRET_KEY": "k" * 48,
        "SP_EXTERNAL_URL": f"https://{HOME}",
        "SP_CONFIG": str(EXAMPLES / "sites.toml"),
    }
    return config.load(settings).all_sites
