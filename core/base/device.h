#pragma once
#include <cstdint>
#include <iosfwd>

namespace sn {

// A device is a backend (an index into the backend registry; the CPU is 0) and an ordinal.
struct Device {
    uint8_t backend = 0;
    uint8_t index = 0;
    friend bool operator==(Device, Device) = default;
};

std::string device_name(
    Device device);  // "cpu", "cpu:1", "cuda:0"; defined by the backend registry

}  // namespace sn
