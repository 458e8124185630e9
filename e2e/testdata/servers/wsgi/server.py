import os


def app(environ, start_response):
    body = "hello from pid %d (%s/%s)\n" % (
        os.getpid(), os.environ["CLUSTERD_APP"], os.environ["CLUSTERD_INSTANCE"])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body.encode()]
