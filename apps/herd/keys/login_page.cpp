#include "herd/keys/login_page.hpp"

#include "base/text.hpp"
#include "herd/admin/query.hpp"
#include "herd/keys/key_keeper.hpp"
#include "proxy/access.hpp"

#include <fmt/format.h>

namespace herd::app::keys {

namespace {

std::string escaped(std::string_view text)
{
    std::string out;
    for (const char c : text) {
        switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&quot;"; break;
        default: out += c;
        }
    }
    return out;
}

} // namespace

std::string login_page(std::string_view trouble)
{
    const std::string said = trouble.empty() ? "" : "<p class=\"trouble\" role=\"alert\">" + escaped(trouble) + "</p>";
    return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Log in · herd</title>"
           "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><link rel=\"stylesheet\" href=\"/dashboard/login.css\"></head>"
           "<body><main><h1>herd</h1><p>This herd shows itself to people with an admin key.</p>"
        + said
        + "<form method=\"post\" action=\"/dashboard/login\"><label for=\"key\">Key</label>"
          "<input id=\"key\" name=\"key\" type=\"password\" autocomplete=\"current-password\" autofocus required>"
          "<button>Log in</button></form>"
          "<p class=\"quiet\">Made with <code>herd key add NAME --admin</code> on the machine herd runs on.</p></main></body></html>\n";
}

std::string_view login_style()
{
    return "body{margin:0;font:1rem/1.5 system-ui,sans-serif;background:#f6f7f8;color:#1b1f23}"
           "main{max-width:24rem;margin:12vh auto;padding:0 1rem}h1{font-size:1.5rem}"
           "form{display:grid;gap:.5rem}input,button{font:inherit;padding:.5rem .75rem;border:1px solid #8a9199;border-radius:.375rem}"
           "button{background:#0b5cad;color:#fff;border-color:#0b5cad;cursor:pointer}"
           ".trouble{padding:.5rem .75rem;border-left:4px solid #b3261e;background:#fdecea;color:#410e0b}.quiet{color:#57606a;font-size:.9rem}"
           "@media(prefers-color-scheme:dark){body{background:#14171a;color:#e6e8ea}input{background:#1d2125;color:inherit}.quiet{color:#9aa3ab}"
           ".trouble{background:#3a1512;color:#ffdad6}}\n";
}

void add_login_fields(http::Fields& fields, std::string_view content_type)
{
    fields.add("Content-Type", content_type);
    fields.add("Cache-Control", "no-store");
    fields.add("X-Content-Type-Options", "nosniff");
    fields.add("Referrer-Policy", "same-origin"); // with "no-referrer" a browser sends a form with "Origin: null"
    fields.add("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'");
}

std::optional<std::string> key_of_form(std::string_view body)
{
    for (const auto pair : base::split_list(body, '&')) {
        const auto equals = pair.find('=');
        if (equals != pair.npos && pair.substr(0, equals) == "key") {
            auto value = base::percent_decoded(pair.substr(equals + 1), true);
            return value ? std::optional{std::string{base::trim(*value)}} : std::nullopt;
        }
    }
    return std::nullopt;
}

std::string session_field(std::string_view value, bool secure)
{
    const auto life = value.empty() ? 0 : std::chrono::duration_cast<std::chrono::seconds>(session_life).count();
    return fmt::format("{}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{}", proxy::session_cookie_name, value, life, secure ? "; Secure" : "");
}

} // namespace herd::app::keys
