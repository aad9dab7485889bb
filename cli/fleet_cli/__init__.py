"""fleetctl: asks and commands one host or all of them."""
