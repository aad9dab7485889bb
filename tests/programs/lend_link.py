"""Stands in for the supervisor: hands its end of the link to a test over the socket named in argv[1].

Then it does what the test says: `exit N`. It ends when the test closes the socket.
"""

import array
import os
import socket
import sys

link = 3
meeting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
meeting.connect(sys.argv[1])
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [link]))]
meeting.sendmsg([b"%d\n" % os.getpid()], rights)
os.close(link)
words = meeting.recv(100).decode().split()
sys.exit(int(words[1]) if words else 0)
