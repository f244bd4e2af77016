// herd-node: the agent beside one Ollama. What it is made of: docs/ARCHITECTURE.md.
#include "cli/output.hpp"
#include "herd-node/cli/verbs.hpp"
#include "herd-node/serve.hpp"

#include <cstdio>
#include <iostream>
#include <string>
#include <variant>
#include <vector>

int main(int argc, char** argv)
{
    using namespace herd;
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    const auto environment = config::system_environment();
    auto line = node::parse_command_line(arguments, environment, config::current_directory());
    if (const auto* exit_now = std::get_if<node::ExitNow>(&line)) {
        if (exit_now->checked) {
            if (const auto fit = node::check_serve(*exit_now->checked); !fit) {
                std::fprintf(stderr, "herd-node: %s\n", fit.error().context.c_str());
                return 2;
            }
        }
        std::fputs(exit_now->text.c_str(), exit_now->code == 0 ? stdout : stderr);
        return cli::finish_output(stdout, exit_now->code, "herd-node", std::cerr);
    }
    if (const auto* verb = std::get_if<node::Verb>(&line)) {
        const bool colours =
            cli::colours_wanted(config::lookup(environment, "NO_COLOR"), config::lookup(environment, "TERM"));
        return cli::finish_output(stdout, node::run_verb(*verb, {std::cout, std::cerr, colours}), "herd-node", std::cerr);
    }
    return node::serve(std::get<node::ServeOptions>(std::move(line)));
}
