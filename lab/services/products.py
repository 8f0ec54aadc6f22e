"""The products that can be emulated, by name."""

from __future__ import annotations

from lab.services import discourse, freshworks, ispring, loginradius, metabase, zendesk
from lab.services.product import Product

PRODUCTS: dict[str, Product] = {
    module.PRODUCT.name: module.PRODUCT for module in (ispring, zendesk, loginradius, freshworks, metabase, discourse)
}


class UnknownProduct(ValueError):
    """There is no emulator of this name."""


def product_named(name: str) -> Product:
    """Return the product. Raises UnknownProduct, which lists the names."""
    if name not in PRODUCTS:
        raise UnknownProduct(f"unknown service {name!r}: use one of {', '.join(PRODUCTS)}")
    return PRODUCTS[name]
