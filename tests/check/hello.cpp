/* SPDX-License-Identifier: MIT
 *
 * The same in C++, with the handles in smart pointers.
 */
#include <chappe/chappe.h>

#include <cstring>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

namespace {

struct closer {
    void operator()(chappe_endpoint *endpoint) const {
        chappe_close(endpoint, chappe_in_ms(10000), nullptr);
    }
};

struct releaser {
    void operator()(chappe_message *message) const {
        chappe_release(message);
    }
};

using endpoint = std::unique_ptr<chappe_endpoint, closer>;
using message = std::unique_ptr<chappe_message, releaser>;

void check(int result) {
    if (result != 0)
        throw std::runtime_error(chappe_error());
}

std::string text(const message &from) {
    return {static_cast<const char *>(from->data), from->size};
}

void greet(const char *address) {
    chappe_endpoint *opened = nullptr;
    chappe_message *received = nullptr;
    check(chappe_open(address, nullptr, chappe_in_ms(10000), &opened));
    endpoint server(opened);
    check(chappe_request(server.get(), "hello", 5, nullptr, chappe_in_ms(10000), &received));
    message reply(received);
    if (text(reply) != "hello world")
        throw std::runtime_error("not the reply: " + text(reply));
}

void serve(const char *address) {
    chappe_endpoint *opened = nullptr;
    chappe_message *received = nullptr;
    chappe_token token;
    check(chappe_listen(address, nullptr, chappe_in_ms(10000), &opened));
    endpoint server(opened);
    check(chappe_receive(server.get(), nullptr, chappe_in_ms(10000), &received));
    message request(received);
    check(chappe_token_of(request.get(), &token));
    std::string answer = text(request) + " world";
    check(chappe_reply(server.get(), &token, answer.data(), answer.size(), nullptr,
                       chappe_in_ms(10000)));
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    try {
        pid_t child = fork();
        if (child == 0) {
            greet(argv[1]);
            _exit(0);
        }
        serve(argv[1]);
        int status = 1;
        if (waitpid(child, &status, 0) != child || status != 0)
            return 1;
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
    std::cout << "hello world, chappe " << chappe_version() << '\n';
    return 0;
}
