"""Start the identity provider: python run_idp.py [--host 127.0.0.1] [--port 5001] [--workers 1] [--threads 16]"""

from types import ModuleType

from shared.serving import main


def identity_provider() -> ModuleType:
    """Import the program. Not called for --help, --version or a wrong option."""
    import idp

    return idp


if __name__ == "__main__":
    main(identity_provider, "Serve the identity provider.", default_port=5001)
