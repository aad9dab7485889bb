"""Logs: everything the children print, from their FIFOs to the files, and the agent's own activity log.

One thread owns all of it, so that a disk that stalls stops the logs and nothing else. The main loop talks
to it through `worker.LogWorker` alone: commands are queued, results are taken when it is woken.

    worker     the thread: commands in, results out
    reader     when which stream is read
    streams    one end of a FIFO and the run it belongs to: one chunk from there to the log
    inflight   the journal of the one chunk that is between FIFO and log, and why a kill loses nothing
    recovery   what a killed supervisor left there, brought to its log
    library    the log files in use, by path, and who follows them
    logfile    one log: append, rotate, go on when the disk does not
    rotation   where a file is full, and the renames
    sidecar    what keeps a log's positions stable: its id and where each of its files begins
    ansi       escape sequences out of a stream of bytes
    activity   the agent's own log
    answers    what the main loop takes
"""
