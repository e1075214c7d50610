"""Serves Barbican or Keystone of Debian on a free port of this machine.

serve.py barbican PASTE.INI | serve.py keystone
"""

import sys
from wsgiref import simple_server

what, *arguments = sys.argv[1:]
# Both read the arguments of the program.
sys.argv = sys.argv[:1]


class Handler(simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass


def application():
    if what == "keystone":
        from keystone.server import wsgi

        return wsgi.initialize_public_application()
    from paste import deploy

    return deploy.loadapp("config:" + arguments[0], name="main")


server = simple_server.make_server("127.0.0.1", 0, None, handler_class=Handler)
server.set_app(application())
print(server.server_port, flush=True)
server.serve_forever()
