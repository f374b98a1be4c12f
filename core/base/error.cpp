#include "base/error.h"

#include <cstdarg>
#include <cstdio>

namespace sn {

Error::Error(ErrorKind kind, std::string op, std::string message)
    : kind_(kind), op_(std::move(op)), message_(std::move(message)) {
    compose();
}

void Error::set_where(std::string where) {
    if (!where_.empty()) return;
    where_ = std::move(where);
    compose();
}

void Error::compose() {
    text_ = "[" + op_ + "] " + message_;
    if (!where_.empty()) text_ += "\n  " + where_;
    text_ += std::string(" (") + error_code(kind_) + ")";
}

const char* error_code(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::kShape: return "SN101";
        case ErrorKind::kDType: return "SN102";
        case ErrorKind::kIndex: return "SN103";
        case ErrorKind::kValue: return "SN104";
        case ErrorKind::kDevice: return "SN105";
        case ErrorKind::kGrad: return "SN106";
        case ErrorKind::kMemory: return "SN107";
        case ErrorKind::kType: return "SN108";
        case ErrorKind::kFile: return "SN109";
        case ErrorKind::kNumeric: return "SN110";
        case ErrorKind::kInternal: return "SN199";
    }
    return "SN199";
}

void fail(ErrorKind kind, std::string_view op, const char* format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int length = std::vsnprintf(nullptr, 0, format, args);
    va_end(args);
    std::string message(static_cast<size_t>(length > 0 ? length : 0), '\0');
    std::vsnprintf(message.data(), message.size() + 1, format, again);
    va_end(again);
    throw Error(kind, std::string(op), std::move(message));
}

}  // namespace sn
