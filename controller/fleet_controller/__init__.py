"""fleet-controller: joins the hosts into one fleet."""
