"""Define the version of this program. The wheel, the image and every `--version` read it from here."""

VERSION = "0.1.0"
