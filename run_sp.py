"""Start the gateway: python run_sp.py [--host 127.0.0.1] [--port 5000] [--workers 1] [--threads 16]"""

import sp
from shared.serving import main

if __name__ == "__main__":
    main(sp, default_port=5000)
