"""Typed access to the kernel: one file per interface, no policy, nothing done at import time.

cgroup      one cgroup v2 directory: create, fill, limit, meter, freeze, kill, remove
counters    the texts of cgroup and PSI files as numbers
refusal     what an errno of a cgroup file means and how to mend it
hierarchy   where cgroup v2 is mounted and which cgroup a process is in
delegation  a cgroup subtree that is ours, however this host hands one out
systemd     scopes with Delegate=yes over D-Bus
psi         pressure stall information and its triggers
process     /proc/PID, pidfd, subreaper
namespace   mount and user namespaces
btf         the few facts needed from the kernel's type information
libbpf      the system's libbpf, and why BPF cannot be used
bpf         BPF objects: load, attach, maps, ring buffers (bpf_info: what the kernel says of programs)
tracking    what the processes below a cgroup do (tracking_events: its records)
struct_ops  operations of ours, attached to one cgroup
memcg_ops   delays and protection in the kernel's own reclaim path (memcg_type: which kernels have that)
features    what this host offers, and how to get the rest
"""
