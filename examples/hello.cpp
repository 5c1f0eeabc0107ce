/* SPDX-License-Identifier: MIT
 * C++17: a child sends, its parent receives; the handles close themselves. */
#include <chappe/chappe.h>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

struct closer {
    void operator()(chappe_endpoint *end) const {
        chappe_close(end, chappe_in_ms(5000), nullptr);
    }
    void operator()(chappe_message *message) const {
        chappe_release(message);
    }
};
using endpoint = std::unique_ptr<chappe_endpoint, closer>;
using message = std::unique_ptr<chappe_message, closer>;

static void check(int result) {
    if (result != 0)
        throw std::runtime_error(chappe_error());
}

static void send(const std::string &address, std::string_view text) {
    chappe_endpoint *opened = nullptr;
    chappe_settings settings{};
    settings.size = sizeof settings;
    settings.type = 7;
    check(chappe_open(address.c_str(), nullptr, chappe_in_ms(10000), &opened));
    endpoint end(opened);
    check(chappe_send(end.get(), text.data(), text.size(), &settings, chappe_in_ms(10000)));
}

static void receive(const endpoint &server) {
    chappe_message *received = nullptr;
    int64_t type = 0;
    check(chappe_receive(server.get(), nullptr, chappe_in_ms(10000), &received));
    message held(received);
    check(chappe_get(held.get(), CHAPPE_TYPE, &type));
    std::cout << std::string_view(static_cast<const char *>(held->data), held->size) << ", type "
              << type << '\n';
}

int main(int argc, char **argv) try {
    std::string address = argc > 1 ? argv[1] : "unix://@hello";
    pid_t child = fork();
    if (child == 0) {
        send(address, "hello from C++");
        return 0;
    }
    chappe_endpoint *opened = nullptr;
    check(chappe_listen(address.c_str(), nullptr, CHAPPE_NOW, &opened));
    receive(endpoint(opened));
    int status = 1;
    return waitpid(child, &status, 0) != child || status != 0;
} catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
