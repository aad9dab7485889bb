"""The init script of an agent for hosts without systemd, as text: POSIX sh, with an LSB header."""

import shlex

from fleet_agent.host.installation import Installation

START_SECONDS = 60


def init_script_text(installation: Installation, log: str) -> str:
    """The script; what the agent says on stderr goes to the file `log`."""
    return f"""\
#!/bin/sh
# Written by `fleet-agent init-script`. Write it anew when the installation moves.
### BEGIN INIT INFO
# Provides:          fleet-agent
# Required-Start:    $remote_fs $network
# Required-Stop:     $remote_fs $network
# Should-Start:      $named $time
# Should-Stop:       $named
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: supervises the programs of a configuration file
# Description:       stop and restart leave the programs running, unless the host is going down;
#                    stop-all stops them in order.
### END INIT INFO

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
LOG={shlex.quote(log)}

agent() {{
    {shlex.join(installation.command)} "$@" {shlex.join(installation.place)}
}}

start() {{
    if pid=$(agent pid 2>/dev/null); then
        echo "fleet-agent runs already (pid $pid)"
        return 0
    fi
    (umask 077 && mkdir -p {shlex.quote(log.rpartition("/")[0])}) || return 1
    cd / || return 1
    (
        trap '' HUP
        umask 022
        exec {shlex.join(installation.run)}
    ) </dev/null >/dev/null 2>>"$LOG" &
    started=$!
    waited=0
    while [ "$waited" -lt {START_SECONDS} ]; do
        if pid=$(agent pid 2>/dev/null) && [ "$pid" = "$started" ]; then
            echo "fleet-agent started (pid $pid)"
            return 0
        fi
        if ! kill -0 "$started" 2>/dev/null; then
            echo "fleet-agent did not start; the end of $LOG:" >&2
            tail -n 5 "$LOG" >&2
            return 1
        fi
        sleep 1
        waited=$((waited + 1))
    done
    echo "fleet-agent (pid $started) runs and does not answer yet, see $LOG" >&2
    return 1
}}

case "${{1:-}}" in
    start) start ;;
    stop) agent leave ;;
    stop-all) agent stop ;;
    detach) agent detach ;;
    restart | force-reload) agent leave && start ;;
    status)
        if pid=$(agent pid); then
            echo "fleet-agent runs (pid $pid)"
        else
            exit $?
        fi
        ;;
    *)
        echo "usage: $0 start|stop|stop-all|detach|restart|force-reload|status" >&2
        exit 2
        ;;
esac
"""
