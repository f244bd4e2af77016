#pragma once
// Serves the dashboard's embedded files: /dashboard with everything below it but /dashboard/api/, and / when a
// browser asks for a page. Nothing here reads the fleet: the page asks /herd/v1/* like any other client.
#include "herd/dashboard/assets.hpp"
#include "http/server.hpp"

namespace herd::app::dashboard {

/// Whether a request is for the dashboard. Every other `/` keeps Ollama's answer.
[[nodiscard]] bool owns(const http::RequestHead& head);

struct Answer {
    http::ResponseHead head{};
    std::string_view body{}; ///< as long-lived as the files
};

/// Pure. Paths without a file of their own get the page: its script shows the view.
[[nodiscard]] Answer answer(const http::RequestHead& head, std::span<const Asset> files, std::string_view absence);

/// Thread: the exchange's loop.
[[nodiscard]] net::Task<void> serve(http::ServerExchange& exchange);

} // namespace herd::app::dashboard
