#include "base/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace herd::base {

void assertion_failed(const char* expression, const char* file, int line)
{
    std::fprintf(stderr, "herd: assertion failed: %s (%s:%d)\n", expression, file, line);
    std::abort();
}

} // namespace herd::base
