"""The tutorial's web server: answers `Hello world`. ADDRESS and PORT come from the environment."""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hello(BaseHTTPRequestHandler):
    """Answers every GET alike."""

    def do_GET(self) -> None:
        """Answer."""
        body = b"Hello world\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer((os.environ["ADDRESS"], int(os.environ["PORT"])), Hello).serve_forever()
