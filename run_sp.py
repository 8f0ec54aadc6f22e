"""Start the gateway: python run_sp.py [--host 127.0.0.1] [--port 5000] [--workers 1] [--threads 16]"""

from types import ModuleType

from shared.serving import main


def gateway() -> ModuleType:
    """Import the program. Not called for --help, --version or a wrong option."""
    import sp

    return sp


if __name__ == "__main__":
    main(gateway, "Serve the gateway.", default_port=5000)
