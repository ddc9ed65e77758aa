/* What a BPF program may call, how its maps are declared, and how fields are found on any kernel.
 *
 * Written here so that a build needs clang and nothing else. The numbers of helpers and map types are the kernel's
 * user interface (enum bpf_func_id, enum bpf_map_type in include/uapi/linux/bpf.h) and never change; everything else
 * of the kernel is found by CO-RE: types marked KERNEL are laid out anew by libbpf when the object is loaded.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;
typedef long long s64;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

#define SECTION(name) __attribute__((section(name), used))
#define KERNEL __attribute__((preserve_access_index))
#define INLINE static inline __attribute__((always_inline))

/* A map is a struct of pointers whose types carry the values: libbpf reads them from the object's BTF. */
#define MAP_UINT(name, value) int (*name)[value]
#define MAP_TYPE(name, type) type *name
#define MAPS SECTION(".maps")

enum map_type {
	MAP_ARRAY = 2,
	MAP_PERCPU_ARRAY = 6,
	MAP_LRU_HASH = 9,
	MAP_RINGBUF = 27,
	MAP_TASK_STORAGE = 29,
};

enum { MAP_NO_PREALLOC = 1 };     /* BPF_F_NO_PREALLOC */
enum { MAP_NEW_KEY = 1 };         /* BPF_NOEXIST */
enum { STORAGE_CREATE = 1 };      /* BPF_LOCAL_STORAGE_GET_F_CREATE */
enum { RING_NO_WAKEUP = 1, RING_FORCE_WAKEUP = 2 };

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u64 (*const monotonic_ns)(void) = (void *)5;
static long (*const read_user)(void *to, u32 size, const void *from) = (void *)112;
static long (*const read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static long (*const read_kernel_string)(void *to, u32 size, const void *from) = (void *)115;
static long (*const ring_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;
static void *(*const ring_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const ring_submit)(void *record, u64 flags) = (void *)132;
static void *(*const current_task)(void) = (void *)158;
static void *(*const task_storage)(void *map, void *task, void *value, u64 flags) = (void *)156;
