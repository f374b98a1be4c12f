#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace sn {

// SHA-256 (FIPS 180-4), fed piece by piece, by the processor's own instructions where it has them.
class Sha256 {
public:
    explicit Sha256(bool portable = false) : portable_(portable) {}
    void update(const void* data, size_t bytes);
    std::string hex();  // ends it: 64 lower-case digits

private:
    void run(const unsigned char* p, size_t blocks);
    void block(const unsigned char* p);
    uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    unsigned char rest_[64];
    size_t filled_ = 0;
    uint64_t bytes_ = 0;
    bool portable_;
};

}  // namespace sn
