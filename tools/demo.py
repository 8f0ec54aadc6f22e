"""Start the pair with its people: `make demo` runs this. The demo itself is lychgate/demo, which the wheel has too."""

import sys

from lychgate.demo import main

if __name__ == "__main__":
    sys.exit(main())
