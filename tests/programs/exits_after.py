"""exits_after.py SECONDS CODE: lives so long and ends so."""

import sys
import time

time.sleep(float(sys.argv[1]))
sys.exit(int(sys.argv[2]))
