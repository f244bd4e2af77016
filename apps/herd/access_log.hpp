#pragma once
// One line per exchange: who, what, where, how long each phase took, and a two-letter end.
#include "store/request_record.hpp"

namespace herd::app {

void write_access_line(const store::RequestRecord& record);

} // namespace herd::app
