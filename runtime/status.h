#pragma once
// Statuses of the C interfaces: nothing is thrown through them.
#include <new>
#include <string>

#include "base/error.h"
#include "sennit/sennit.h"

namespace sn {

inline sn_status code_of(ErrorKind kind) {
    switch (kind) {
        case ErrorKind::kShape: return SN_ERROR_SHAPE;
        case ErrorKind::kDType: return SN_ERROR_DTYPE;
        case ErrorKind::kIndex: return SN_ERROR_INDEX;
        case ErrorKind::kValue: return SN_ERROR_VALUE;
        case ErrorKind::kDevice: return SN_ERROR_DEVICE;
        case ErrorKind::kGrad: return SN_ERROR_GRAD;
        case ErrorKind::kMemory: return SN_ERROR_MEMORY;
        case ErrorKind::kType: return SN_ERROR_TYPE;
        case ErrorKind::kFile: return SN_ERROR_FILE;
        case ErrorKind::kNumeric: return SN_ERROR_NUMERIC;
        case ErrorKind::kInternal: return SN_ERROR_INTERNAL;
    }
    return SN_ERROR_INTERNAL;
}

// Runs a body; what it throws becomes a status, and its text `*last`. `complete` may add to an
// Error what only its caller knows.
template <class Body, class Complete>
sn_status status_of(std::string* last, Body&& body, Complete&& complete) noexcept {
    const auto remember = [last](sn_status status, const char* text) {
        try {
            *last = text;
        } catch (...) {
            last->clear();
        }
        return status;
    };
    try {
        body();
        return SN_OK;
    } catch (Error& e) {
        complete(e);
        return remember(code_of(e.kind()), e.what());
    } catch (const std::bad_alloc&) {
        return remember(SN_ERROR_MEMORY, "[sennit] there is no memory left (SN107)");
    } catch (const std::exception& e) {
        return remember(SN_ERROR_INTERNAL, e.what());
    } catch (...) {
        return remember(SN_ERROR_INTERNAL, "[sennit] an unknown failure (SN199)");
    }
}

}  // namespace sn
