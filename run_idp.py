"""Start the identity provider: python run_idp.py [--host 127.0.0.1] [--port 5001] [--workers 1] [--threads 16]"""

import idp
from shared.serving import main

if __name__ == "__main__":
    main(idp, default_port=5001)
