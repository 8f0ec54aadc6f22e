"""Start the gateway and the identity provider with demo users. `make demo` runs this module.

The code is in lychgate/demo, which is also part of the wheel.
"""

import sys

from lychgate.demo import main

if __name__ == "__main__":
    sys.exit(main())
