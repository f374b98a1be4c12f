#include "backend/backend.h"

#include <algorithm>
#include <map>

#include "base/error.h"

namespace sn {

std::unique_ptr<Backend> make_cpu_backend();        // backend/cpu/backend.cpp
std::unique_ptr<Backend> make_reference_backend();  // backend/reference/backend.cpp

namespace {

std::vector<std::unique_ptr<Backend>>& backends() {
    static auto* list = [] {
        auto* made = new std::vector<std::unique_ptr<Backend>>;
        made->push_back(make_cpu_backend());
#if !defined(SN_RUNTIME)
        made->push_back(make_reference_backend());
#endif
        return made;
    }();
    return *list;
}

std::map<std::string, std::string>& reasons() {
    static auto* map = new std::map<std::string, std::string>{
        {"cuda", "this build of Sennit has no CUDA back-end"}};
    return *map;
}

}  // namespace

void register_backend(std::unique_ptr<Backend> backend) {
    backends().push_back(std::move(backend));
}
int backend_count() { return static_cast<int>(backends().size()); }
Backend& backend(Device device) { return *backends()[device.backend]; }

std::string device_name(Device device) {
    const Backend& b = backend(device);
    if (device.index == 0 && device.backend == 0) return b.name();
    return std::string(b.name()) + ":" + std::to_string(device.index);
}

void set_unavailable(const std::string& kind, const std::string& reason) {
    reasons()[kind] = reason;
}
std::string unavailable_reason(const std::string& kind) {
    const auto it = reasons().find(kind);
    return it == reasons().end() ? std::string() : it->second;
}

Device parse_device(const std::string& name) {
    const size_t colon = name.find(':');
    const std::string kind = name.substr(0, colon);
    for (size_t i = 0; i < backends().size(); ++i) {
        if (kind != backends()[i]->name()) continue;
        int index = 0;
        if (colon != std::string::npos) {
            const std::string digits = name.substr(colon + 1);
            const bool number =
                !digits.empty() && digits.size() < 4 &&
                std::all_of(
                    digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
            if (!number) {
                fail(ErrorKind::kDevice, "device", "'%s' is not a device; write it as '%s:0'",
                     name.c_str(), kind.c_str());
            }
            index = std::stoi(digits);
        }
        const int count = backends()[i]->device_count();
        if (index >= count) {
            fail(ErrorKind::kDevice, "device",
                 "there is no device '%s'; this process has %d of kind '%s'%s", name.c_str(), count,
                 kind.c_str(),
                 i == 0 ? "; set SENNIT_CPU_DEVICES to get more before Sennit is imported" : "");
        }
        return {static_cast<uint8_t>(i), static_cast<uint8_t>(index)};
    }
    const std::string reason = unavailable_reason(kind);
    if (!reason.empty()) {
        fail(ErrorKind::kDevice, "device",
             "'%s' cannot be used here: %s; sn.doctor() lists the devices "
             "of this machine; use 'cpu' instead",
             name.c_str(), reason.c_str());
    }
    fail(ErrorKind::kDevice, "device", "'%s' is not a kind of device; 'cpu' and 'cuda' are",
         name.c_str());
}

}  // namespace sn
