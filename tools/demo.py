"""Start both programs with demo users: `make demo` runs this.

The code is in lychgate/demo, which is also in the wheel.
"""

import sys

from lychgate.demo import main

if __name__ == "__main__":
    sys.exit(main())
