"""The C structs that a task compiles to.

`lerobot_puffer/compile/` fills the tables (`Signal` ... `Reset`) as numpy structured arrays of
exactly these layouts; `core.pyx` points a `Program` at them and runs it on every simulation.
The kernels that read them: random.pxd, signal.pxd, action.pxd, observe.pxd, reward.pxd,
reset.pxd. Start reading at `step_simulation` in step.pxd.
"""
from libc.stdint cimport uint32_t, uint64_t, uint8_t
from mujoco cimport mjBatch, mjModel

cdef enum:
    MAX_SIGNALS = 64               # the values of one step live on the stack

cdef enum:  # derived fields to refresh after the last substep (bits)
    REFRESH_KINEMATICS = 1
    REFRESH_CONTACTS = 2
    REFRESH_VELOCITIES = 4

cdef enum:  # Point.kind
    POINT_BODY
    POINT_SITE
    POINT_GEOM
    POINT_GOAL                     # a position in the simulation's memory
    POINT_CHOSEN                   # one of several bodies, picked by an index in memory
    POINT_FIXED
    POINT_MIDPOINT                 # half-way between two sites

cdef enum:  # Signal.kind
    SIGNAL_DISTANCE
    SIGNAL_HEIGHT
    SIGNAL_SPEED
    SIGNAL_ANGULAR_SPEED
    SIGNAL_JOINT_POSITION
    SIGNAL_JOINT_SPEED
    SIGNAL_CONTROL
    SIGNAL_CONTACT
    SIGNAL_CONTACT_FORCE
    SIGNAL_ALIGNMENT
    SIGNAL_FACE_ALIGNMENT
    SIGNAL_LATCH

cdef enum:  # Action.kind
    ACTION_ABSOLUTE
    ACTION_NORMALIZED
    ACTION_DELTA
    ACTION_POSE

cdef enum:  # Observation.kind
    OBSERVE_FIELD
    OBSERVE_POSITION
    OBSERVE_AXIS
    OBSERVE_GOAL
    OBSERVE_CHOICE
    OBSERVE_TARGET_ERROR
    OBSERVE_SIGNAL
    OBSERVE_TIME

cdef enum:  # Observation.source of OBSERVE_FIELD
    FIELD_QPOS
    FIELD_QVEL
    FIELD_CTRL
    FIELD_ACTUATOR_FORCE
    FIELD_SENSORDATA
    FIELD_MOCAP_POS
    FIELD_MOCAP_QUAT

cdef enum:  # Reward.kind
    REWARD_NEGATIVE
    REWARD_GAUSSIAN
    REWARD_TANH
    REWARD_TOLERANCE
    REWARD_RAMP
    REWARD_INDICATOR
    REWARD_STAGES
    REWARD_SUCCESS

cdef enum:  # Reset.kind
    RESET_JOINTS
    RESET_POSE
    RESET_GOAL
    RESET_CHOICE
    RESET_MOCAP

cdef enum:  # Write.kind
    WRITE_SCALE
    WRITE_ADD
    WRITE_ROTATE

cdef enum:  # Program.autoreset
    AUTORESET_SAME_STEP
    AUTORESET_NEXT_STEP
    AUTORESET_DISABLED

ctypedef struct Point:             # a position that a term reads, world frame (m)
    int kind
    int id                         # body, site or geom; memory offset (GOAL); first id (CHOSEN)
    int choice                     # memory offset of the index (CHOSEN)
    int other                      # second site (MIDPOINT)
    double position[3]             # (FIXED)

ctypedef struct Signal:            # a scalar of the simulation
    int kind
    int axes                       # bits of x, y, z (DISTANCE)
    int address                    # in qpos (JOINT_POSITION), ctrl (CONTROL), memory (LATCH)
    int first, count               # conditions (LATCH); in ids (JOINT_SPEED)
    int frame_a, frame_b           # body or site of axis_a and axis_b, -1: world
    int site_a, site_b             # 1: the frame is a site
    int dof                        # first dof of a free body, else -1 (*SPEED)
    int ordered                    # 1: geom[0] in set a and geom[1] in set b (CONTACT*)
    int pad
    uint64_t set_a, set_b          # one bit, of a set of geoms (CONTACT*)
    Point a, b
    double axis_a[3]               # unit vectors in frame_a and frame_b (ALIGNMENT, CONTACT)
    double axis_b[3]
    double cosine                  # least |cosine| of normal and axis_a, < 0: any (CONTACT)

ctypedef struct Condition:         # signal > threshold, or below it
    int signal
    int above
    double threshold

ctypedef struct Level:             # a stage: a conjunction and the value it is worth
    int first, count               # conditions
    double value

ctypedef struct Action:            # how one actuator gets its control, or a mocap body its pose
    int kind
    int source                     # element of the action; first of seven (POSE)
    int actuator                   # mocap body (POSE)
    int joint                      # qpos address of a position actuator's joint, else -1
    double low, high               # range of the control (rad or m)
    double offset                  # control at 0 (ABSOLUTE, NORMALIZED)
    double scale                   # control a unit; largest move of the target a step (DELTA, POSE)
    double leash                   # largest |target - joint position| (DELTA)
    double lower[3]                # range of the position (POSE), m
    double upper[3]

ctypedef struct Observation:       # `size` elements of the row, from `dest`
    int kind
    int dest, size
    int source                     # field
    int first                      # first element of the field; memory offset; signal
    int frame, site                # body or site whose axis is observed, -1: world; 1: a site
    int relative                   # 1: position a minus position b
    int view, view_site            # frame in whose axes a vector is written, -1: world
    Point a, b
    double axis[3]
    double low, high               # clip, after scale, offset and noise
    double scale
    double offset
    double noise                   # standard deviation, after scale

ctypedef struct Reward:
    int kind
    int signal
    int first, count               # conditions that gate it; levels (STAGES)
    int progress                   # memory offset of the last value, -1: not a difference
    int total                      # memory offset of the episode's sum
    double weight
    double lower, upper            # bounds (TOLERANCE); where it is 0 and 1 (RAMP)
    double margin                  # width, in the signal's unit (GAUSSIAN: squared)
    double sharpness               # margin's exponent (TOLERANCE)

ctypedef struct Region:            # where a position is drawn
    int sector                     # 0: box; 1: (radius, angle, height) about the origin
    int pad
    double low[3]                  # m; sector: m, rad, m
    double high[3]
    double origin[3]

ctypedef struct Reset:
    int kind
    int address                    # qpos address; memory offset of a goal or choice; weld (MOCAP)
    int count                      # number of choices
    int mocap                      # mocap body moved to a goal, -1: none; to the weld (MOCAP)
    double low, high               # range of a joint or yaw (rad); first choice
    int radial                     # 1: yaw counts from the direction out of the region's origin
    int pad
    double separation              # least horizontal distance from earlier positions, m
    Region region

ctypedef struct Draw:              # a number drawn at reset, before the reset terms
    int value                      # memory offset
    int log                        # 1: low and high are logarithms
    double low, high

ctypedef struct Write:             # a number of a model that a drawn one changes, in their order
    int kind
    int field                      # of the table of fields
    int element                    # of the field; first of four (ROTATE)
    int value                      # memory offset; first of three, a rotation vector (ROTATE)
    int power                      # of the factor (SCALE)
    int single                     # 1: the field is float32

ctypedef struct Lift:              # a free body whose size is drawn keeps standing on the ground
    int address                    # qpos address
    int value                      # memory offset of the factor
    double height                  # of its origin over its lowest point (m)

ctypedef struct Push:
    int body
    int pad
    double probability             # in a step
    double low, high               # N

ctypedef struct ModelField:        # a field of mjModel with values of its own in every simulation
    double* rows                   # (nsim, size), the batch's
    const double* nominal          # (size,)
    size_t offset                  # in mjModel, of the array or of the pointer to it
    int size
    int inside                     # 1: of the array

ctypedef struct Episode:           # what a simulation carries beside its MuJoCo state
    uint64_t seed
    uint64_t counter               # blocks drawn from the generator
    uint32_t stream                # index within the seed
    uint32_t done                  # the last step ended an episode (next-step autoreset)
    int steps                      # steps in this episode
    int hold                       # consecutive steps with all success conditions true
    int succeeded                  # 1: success was reached in this episode
    int pad
    double episode_return
    double n                       # episodes ended since the last log, and their sums
    double sum_return
    double sum_length
    double sum_success
    double physics_resets

ctypedef struct Program:
    mjBatch* batch
    int nsim, nthread
    int nstate, nq, nv, nu
    int nobs, naction, nmemory
    int substeps
    int refresh                    # REFRESH_* bits
    int stages                     # 1: substeps call the stages of mj_step that this model has
    int nbody, ngeom, nsite        # frames that terms read lie below these ids
    mjModel* seen                  # the batch's model with only these, and contacts only in sets
    int autoreset
    int episode_length             # steps, 0: no limit
    int truncation_as_terminal
    int hold                       # steps that success must hold
    int terminate                  # 1: success ends the episode
    int settling                   # 1: the step ends the episodes in which MuJoCo raised an error
    int nsignal, ncontact_signal, nlast_signal  # all; of contact; of the last substep (first)
    int naction_row, nobservation, nreward, nreset
    int success_first, success_count
    int failure_first, failure_count
    int term_log                   # memory offset of the terms' sums over ended episodes
    const Signal* signal
    const Condition* condition
    const Level* level
    const Action* action
    const Observation* observation
    const Reward* reward
    const Reset* reset
    const int* ids                 # bodies of POINT_CHOSEN, dofs of SIGNAL_JOINT_SPEED
    const uint64_t* geom_sets      # (ngeom,) sets each geom is in
    const double* init             # (nstate,) MuJoCo state before the reset terms
    Episode* episode               # (nsim,)
    double* memory                 # (nsim, nmemory) goals, choices, last values, sums
    void* actions                  # (nsim, naction) float or double, as the four below
    void* observations             # (nsim, nobs)
    void* final_observations       # (nsim, nobs)
    double* final_states           # (nsim, nstate) last state of the ended episode, NULL: not kept
    void* rewards                  # (nsim,)
    uint8_t* terminals             # (nsim,)
    uint8_t* truncations           # (nsim,)
    int* failed                    # (nsim,) room for ids of simulations
    int ndraw, nwrite, nlift, npush, nfield
    int derive                     # 1: mj_setConst after the draws of a reset
    int delay                      # memory offset: steps, actions so far, ring of them; -1: none
    int delay_low, delay_size      # steps drawn: low .. size - 1; actions in the ring
    const Draw* draw
    const Write* write
    const Lift* lift
    const Push* push
    ModelField* field              # (nfield,)

# what bench.pyx needs of a Core, handed over in a PyCapsule
ctypedef struct Engine:
    Program* program
    int (*step)(Program*) noexcept nogil
