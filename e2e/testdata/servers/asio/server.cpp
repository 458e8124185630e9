// A server on the port that its argument says. Asio registers a listening
// socket with epoll before it binds it.
#include <asio.hpp>
#include <cstdlib>
#include <memory>
#include <string>
#include <unistd.h>

using asio::ip::tcp;

struct connection : std::enable_shared_from_this<connection> {
    tcp::socket socket;
    std::string in, out;

    explicit connection(tcp::socket s) : socket(std::move(s)) {}

    void answer() {
        auto self = shared_from_this();
        asio::async_read_until(socket, asio::dynamic_buffer(in), "\r\n\r\n", [self](std::error_code err, std::size_t) {
            if (err) return;
            std::string body = "hello from pid " + std::to_string(getpid()) + " (" + std::getenv("CLUSTERD_APP") + "/" +
                               std::getenv("CLUSTERD_INSTANCE") + ")\n";
            self->out = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
                        "\r\n\r\n" + body;
            asio::async_write(self->socket, asio::buffer(self->out), [self](std::error_code, std::size_t) {});
        });
    }
};

void accept(tcp::acceptor &acceptor) {
    acceptor.async_accept([&acceptor](std::error_code err, tcp::socket socket) {
        if (!err) std::make_shared<connection>(std::move(socket))->answer();
        accept(acceptor);
    });
}

int main(int, char **argv) {
    asio::io_context io;
    tcp::acceptor acceptor(io, tcp::endpoint(tcp::v4(), std::atoi(argv[1])));
    accept(acceptor);
    io.run();
}
