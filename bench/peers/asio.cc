/* asio.cc - the upper-casing server on Boost.Asio.
 *
 * Idiomatic: the manual's async_tcp_echo_server: a session that keeps itself alive by a shared
 * pointer and has its own buffer, async_read_some() and async_write() in turn, and a
 * single-threaded io_context that knows it (concurrency hint 1).  Back-pressure: the next
 * read begins when the answer is written.
 *
 * usage: asio PORT
 */
#include "peer.h"

#include <array>
#include <boost/asio.hpp>
#include <iostream>
#include <memory>

using boost::asio::ip::tcp;

class session : public std::enable_shared_from_this<session>
{
  public:
    explicit session(tcp::socket socket) : socket_(std::move(socket)) {}

    void read()
    {
        socket_.async_read_some(boost::asio::buffer(buffer_),
                                [self = shared_from_this()](auto error, std::size_t n) {
                                    if (!error)
                                        self->answer(n);
                                });
    }

  private:
    void answer(std::size_t n)
    {
        upper(buffer_.data(), n);
        boost::asio::async_write(socket_, boost::asio::buffer(buffer_.data(), n),
                                 [self = shared_from_this()](auto error, std::size_t) {
                                     if (!error)
                                         self->read();
                                 });
    }

    tcp::socket socket_;
    std::array<uint8_t, 16 << 10> buffer_;
};

static void accept(tcp::acceptor &acceptor)
{
    acceptor.async_accept([&acceptor](auto error, tcp::socket socket) {
        if (!error) {
            boost::system::error_code ignored;
            socket.set_option(tcp::no_delay(true), ignored);
            std::make_shared<session>(std::move(socket))->read();
        }
        accept(acceptor);
    });
}

int main(int argc, char **argv)
{
    try {
        const auto port = ntohs(peer_address(argc, argv).sin_port);
        boost::asio::io_context context(1);
        tcp::acceptor acceptor(context, {boost::asio::ip::address_v4::loopback(), port});
        accept(acceptor);
        context.run();
    } catch (const std::exception &e) {
        std::cerr << "asio: " << e.what() << "\n";
        return 1;
    }
}
