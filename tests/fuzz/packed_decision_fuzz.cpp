// Whatever stands in the database where a packed decision should: it is one, or it is nothing, and what was read is
// read the same again.
#include "herd/records/packed_decision.hpp"

#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace herd;
    const auto first = app::unpack_decision({reinterpret_cast<const char*>(data), size});
    if (first) {
        const auto packed = app::pack_decision(*first, first->candidates.size());
        const auto second = app::unpack_decision(packed);
        if (!second || second->candidates.size() != first->candidates.size() || app::pack_decision(*second, 64) != packed) {
            std::abort();
        }
    }
    return 0;
}
