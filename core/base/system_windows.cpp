#include "base/system.h"

#if defined(_WIN32)

#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#define WIN32_LEAN_AND_MEAN
#include <fcntl.h>
#include <io.h>
#include <malloc.h>
#include <process.h>
#include <windows.h>
// After windows.h.
#include <psapi.h>
#include <shellapi.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace sn::system {

namespace {

std::wstring wide(const std::string& text) {
    const int size = static_cast<int>(text.size());
    std::wstring made(
        static_cast<size_t>(MultiByteToWideChar(CP_UTF8, 0, text.data(), size, nullptr, 0)), L'\0');
    MultiByteToWideChar(CP_UTF8, 0, text.data(), size, made.data(), static_cast<int>(made.size()));
    return made;
}

// The C library's code for the last error, for those that files meet.
int code_of_last_error() {
    switch (GetLastError()) {
        case ERROR_FILE_NOT_FOUND:
        case ERROR_PATH_NOT_FOUND:
        case ERROR_INVALID_NAME: return ENOENT;
        case ERROR_ACCESS_DENIED:
        case ERROR_SHARING_VIOLATION:
        case ERROR_USER_MAPPED_FILE: return EACCES;
        case ERROR_DISK_FULL: return ENOSPC;
        case ERROR_NOT_ENOUGH_MEMORY: return ENOMEM;
        default: return EIO;
    }
}

// Others may replace or delete the file meanwhile, as they may elsewhere.
struct File {
    explicit File(const std::string& path)
        : handle(CreateFileW(wide(path).c_str(), GENERIC_READ,
                             FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr,
                             OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr)) {}
    ~File() {
        if (handle != INVALID_HANDLE_VALUE) CloseHandle(handle);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    HANDLE handle;
};

}  // namespace

// ---- memory

// Large pages need a privilege that ordinary users lack; the alignment is kept.
void* map_memory(size_t bytes) {
    // A part of a reservation cannot be given back. So its place is looked for, and then taken;
    // another thread may be faster, which hardly happens twice.
    for (int attempt = 0; attempt < 16; ++attempt) {
        void* reserved = VirtualAlloc(nullptr, bytes + kHugePage, MEM_RESERVE, PAGE_READWRITE);
        if (!reserved) return nullptr;
        const auto address = reinterpret_cast<uintptr_t>(reserved);
        const uintptr_t begin = (address + kHugePage - 1) / kHugePage * kHugePage;
        VirtualFree(reserved, 0, MEM_RELEASE);
        if (void* data = VirtualAlloc(reinterpret_cast<void*>(begin), bytes,
                                      MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE))
            return data;
    }
    return nullptr;
}

void unmap_memory(void* data, size_t) { VirtualFree(data, 0, MEM_RELEASE); }

void* allocate_aligned(size_t alignment, size_t bytes) { return _aligned_malloc(bytes, alignment); }
void free_aligned(void* data) { _aligned_free(data); }

int64_t physical_memory() {
    MEMORYSTATUSEX status{};
    status.dwLength = sizeof status;
    return GlobalMemoryStatusEx(&status) ? static_cast<int64_t>(status.ullTotalPhys) : -1;
}

namespace {

bool memory_counters(PROCESS_MEMORY_COUNTERS* counters) {
    counters->cb = sizeof *counters;
    return K32GetProcessMemoryInfo(GetCurrentProcess(), counters, sizeof *counters) != 0;
}

}  // namespace

int64_t resident_memory() {
    PROCESS_MEMORY_COUNTERS counters{};
    return memory_counters(&counters) ? static_cast<int64_t>(counters.WorkingSetSize) : -1;
}

int64_t peak_resident_memory() {
    PROCESS_MEMORY_COUNTERS counters{};
    return memory_counters(&counters) ? static_cast<int64_t>(counters.PeakWorkingSetSize) : -1;
}

// ---- threads

int usable_cpus() {
    DWORD_PTR mine = 0, all = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &mine, &all) && mine)
        return std::popcount(static_cast<uint64_t>(mine));
    SYSTEM_INFO info{};
    GetSystemInfo(&info);
    return std::max(1, static_cast<int>(info.dwNumberOfProcessors));
}

int64_t steady_nanoseconds() {
    static const int64_t frequency = [] {
        LARGE_INTEGER ticks;
        QueryPerformanceFrequency(&ticks);
        return static_cast<int64_t>(ticks.QuadPart);
    }();
    LARGE_INTEGER now;
    QueryPerformanceCounter(&now);
    const int64_t ticks = now.QuadPart;  // in two parts, which do not overflow
    return ticks / frequency * 1'000'000'000 + ticks % frequency * 1'000'000'000 / frequency;
}

void set_thread_name(const char*) {}  // of use to debuggers alone
std::string thread_name() { return {}; }

struct SignalsBlocked::Before {};
SignalsBlocked::SignalsBlocked() = default;  // there are none
SignalsBlocked::~SignalsBlocked() = default;

void at_fork(void (*)(), void (*)(), void (*)()) {}

int process_id() { return _getpid(); }

std::vector<std::string> arguments(int, char**) {
    std::vector<std::string> made;
    int count = 0;
    wchar_t** words = CommandLineToArgvW(GetCommandLineW(), &count);
    for (int i = 0; words && i < count; ++i) {
        const int size =
            WideCharToMultiByte(CP_UTF8, 0, words[i], -1, nullptr, 0, nullptr, nullptr);
        std::string word(static_cast<size_t>(size), '\0');
        WideCharToMultiByte(CP_UTF8, 0, words[i], -1, word.data(), size, nullptr, nullptr);
        word.resize(static_cast<size_t>(size) - 1);  // the end
        made.push_back(std::move(word));
    }
    LocalFree(words);
    return made;
}

// ---- libraries

void* open_library(const std::string& path, std::string* why) {
    // A library that is given by its path finds those beside it.
    const DWORD flags = path.find_first_of("/\\") == std::string::npos
                            ? LOAD_LIBRARY_SEARCH_DEFAULT_DIRS
                            : LOAD_WITH_ALTERED_SEARCH_PATH;
    HMODULE library = LoadLibraryExW(wide(path).c_str(), nullptr, flags);
    if (!library) *why = path + ": " + std::strerror(code_of_last_error());
    return reinterpret_cast<void*>(library);
}

void* library_symbol(void* library, const char* name) {
    return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}

// ---- files

std::FILE* open_file(const std::string& path, const char* mode) {
    return _wfopen(wide(path).c_str(), wide(mode).c_str());
}

bool regular_file_size(const std::string& path, uint64_t* size, std::string* why) {
    const DWORD attributes = GetFileAttributesW(wide(path).c_str());
    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY)) {
        *why = "it is no regular file";
        return false;
    }
    const File file(path);
    LARGE_INTEGER bytes;
    if (file.handle == INVALID_HANDLE_VALUE || !GetFileSizeEx(file.handle, &bytes)) {
        *why = std::strerror(code_of_last_error());
        return false;
    }
    *size = static_cast<uint64_t>(bytes.QuadPart);
    return true;
}

const void* map_file(const std::string& path, size_t bytes) {
    const File file(path);
    if (file.handle == INVALID_HANDLE_VALUE) return nullptr;
    LARGE_INTEGER size;
    if (!GetFileSizeEx(file.handle, &size) || static_cast<uint64_t>(size.QuadPart) < bytes)
        return nullptr;
    const HANDLE mapping = CreateFileMappingW(file.handle, nullptr, PAGE_READONLY, 0, 0, nullptr);
    if (!mapping) return nullptr;
    const void* data = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, bytes);
    CloseHandle(mapping);  // the view keeps what it needs
    return data;
}

void unmap_file(const void* data, size_t) { UnmapViewOfFile(data); }

bool sync_file(std::FILE* file) { return _commit(_fileno(file)) == 0; }

bool replace_file(const std::string& from, const std::string& to) {
    if (MoveFileExW(wide(from).c_str(), wide(to).c_str(),
                    MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
        return true;
    errno = code_of_last_error();
    return false;
}

void remove_file(const std::string& path) { DeleteFileW(wide(path).c_str()); }

bool make_folder(const std::string& path) {
    for (size_t end = path.find_first_of("/\\", 3);; end = path.find_first_of("/\\", end + 1)) {
        CreateDirectoryW(wide(path.substr(0, end)).c_str(), nullptr);
        if (end == std::string::npos) break;
    }
    const DWORD attributes = GetFileAttributesW(wide(path).c_str());
    return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY);
}

void sleep_while(const std::atomic<uint32_t>& word, uint32_t value) {
    WaitOnAddress(const_cast<std::atomic<uint32_t>*>(&word), &value, sizeof value, INFINITE);
}
void wake_one(std::atomic<uint32_t>& word) { WakeByAddressSingle(&word); }
void wake_all(std::atomic<uint32_t>& word) { WakeByAddressAll(&word); }

}  // namespace sn::system

#endif
