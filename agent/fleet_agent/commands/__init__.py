"""The subcommands of `fleet-agent`, each imported when it is asked for."""
