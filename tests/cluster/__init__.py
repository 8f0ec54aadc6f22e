"""Several processes on shared stores: races, crashes, starts and stops."""
