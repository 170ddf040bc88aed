"""Declarations of the MuJoCo 4.0 C symbols that this project uses, and of nothing else."""
from libc.stdint cimport int64_t

cdef extern from "mujoco/mujoco.h" nogil:
    int mjVERSION_HEADER
    int mjNWARNING
    double mjMAXVAL
    int mjNEQDATA

    ctypedef int64_t mjtSize
    ctypedef double mjtNum
    ctypedef unsigned char mjtBool

    ctypedef struct mjWarningStat:
        int lastinfo
        int number

    ctypedef struct mjOption:
        double timestep
        int integrator

    ctypedef struct mjModel:
        mjtSize nq
        mjtSize nv
        mjtSize nu
        mjtSize nbody
        mjtSize ngeom
        mjtSize nsite
        mjtSize nmocap
        mjtSize nsensor
        mjtSize nsensordata
        int* body_contype
        int* body_conaffinity
        int* geom_contype
        int* geom_conaffinity
        int* eq_obj2id
        double* eq_data
        mjtSize ntendon
        mjtSize nflex
        int* geom_type
        double* geom_size
        int* sensor_type
        mjOption opt

    ctypedef struct mjvOption:
        pass
    ctypedef struct mjvCamera:
        int type
        int fixedcamid
    ctypedef struct mjvPerturb:
        pass
    ctypedef struct mjvScene:
        pass
    ctypedef struct mjrRect:
        int left
        int bottom
        int width
        int height
    ctypedef struct mjrContext:
        int offWidth
        int offHeight

    ctypedef struct mjContact:
        double dist
        double frame[9]
        int geom[2]

    ctypedef struct mjData:
        mjWarningStat* warning
        int ncon
        double time
        double* qpos
        double* qvel
        double* act
        double* ctrl
        double* actuator_force
        double* sensordata
        double* xfrc_applied
        double* mocap_pos
        double* mocap_quat
        double* xpos
        double* xquat
        double* xmat
        double* geom_xpos
        double* site_xpos
        double* site_xmat
        mjContact* contact

    void mju_axisAngle2Quat(mjtNum* res, const mjtNum* axis, mjtNum angle)

    int mjSTATE_INTEGRATION
    int mjOBJ_XBODY
    int mjOBJ_GEOM
    int mjOBJ_SITE

    int mjINT_EULER

    int mjGEOM_PLANE
    int mjSENS_RANGEFINDER
    int mjCAMERA_FIXED
    int mjCAT_ALL
    int mjFB_OFFSCREEN
    int mjFONTSCALE_50

    ctypedef mjtNum (*mjfTime)() noexcept nogil
    mjfTime mjcb_time              # clock of mjData.timer, NULL: none

    int mj_version()
    void mj_step(const mjModel* m, mjData* d)
    void mj_checkPos(const mjModel* m, mjData* d)
    void mj_checkVel(const mjModel* m, mjData* d)
    void mj_checkAcc(const mjModel* m, mjData* d)
    void mj_makeM(const mjModel* m, mjData* d)
    void mj_factorM(const mjModel* m, mjData* d)
    void mj_makeConstraint(const mjModel* m, mjData* d)
    void mj_island(const mjModel* m, mjData* d)
    void mj_projectConstraint(const mjModel* m, mjData* d)
    void mj_transmission(const mjModel* m, mjData* d)
    void mj_fwdVelocity(const mjModel* m, mjData* d)
    void mj_fwdActuation(const mjModel* m, mjData* d)
    void mj_fwdAcceleration(const mjModel* m, mjData* d)
    void mj_fwdConstraint(const mjModel* m, mjData* d)
    void mj_Euler(const mjModel* m, mjData* d)
    void mj_implicit(const mjModel* m, mjData* d)
    void mj_forward(const mjModel* m, mjData* d)
    void mj_kinematics(const mjModel* m, mjData* d)
    void mj_comPos(const mjModel* m, mjData* d)
    void mj_comVel(const mjModel* m, mjData* d)
    void mj_camlight(const mjModel* m, mjData* d)
    void mj_collision(const mjModel* m, mjData* d)
    void mj_setState(const mjModel* m, mjData* d, const mjtNum* state, int sig)
    void mj_getState(const mjModel* m, const mjData* d, mjtNum* state, int sig)
    void mj_contactForce(const mjModel* m, const mjData* d, int id, mjtNum* result)
    void mju_negQuat(mjtNum* res, const mjtNum* quat)
    void mju_mulQuat(mjtNum* res, const mjtNum* quat1, const mjtNum* quat2)
    void mju_rotVecQuat(mjtNum* res, const mjtNum* vec, const mjtNum* quat)
    void mj_objectVelocity(const mjModel* m, const mjData* d, int objtype, int objid,
                           mjtNum* res, int flg_local)
    mjData* mj_makeData(const mjModel* m)
    void mj_deleteData(mjData* d)
    int mj_stateSize(const mjModel* m, int sig)

    void mjv_defaultOption(mjvOption* opt)
    void mjv_defaultCamera(mjvCamera* cam)
    void mjv_defaultFreeCamera(const mjModel* m, mjvCamera* cam)
    void mjv_defaultScene(mjvScene* scn)
    void mjv_makeScene(const mjModel* m, mjvScene* scn, int maxgeom)
    void mjv_freeScene(mjvScene* scn)
    void mjv_updateScene(const mjModel* m, mjData* d, const mjvOption* opt,
                         const mjvPerturb* pert, mjvCamera* cam, int catmask, mjvScene* scn)
    void mjv_updateCamera(const mjModel* m, const mjData* d, mjvCamera* cam, mjvScene* scn)
    void mjv_makeLights(const mjModel* m, const mjData* d, mjvScene* scn)
    void mjr_defaultContext(mjrContext* con)
    void mjr_makeContext(const mjModel* m, mjrContext* con, int fontscale)
    void mjr_freeContext(mjrContext* con)
    void mjr_setBuffer(int framebuffer, mjrContext* con)
    void mjr_render(mjrRect viewport, mjvScene* scn, const mjrContext* con)
    void mjr_readPixels(unsigned char* rgb, float* depth, mjrRect viewport, const mjrContext* con)

cdef extern from "mujoco/mjbatch.h" nogil:
    ctypedef struct mjBatch:
        pass
    ctypedef struct mjBatchConfig:
        int nthread
        mjtBool persistent
    ctypedef void (*mjfBatchFunc)(const mjModel* m, mjData* d, int sim, void* arg) noexcept nogil

    mjBatch* mjb_makeBatch(const mjModel* m, int nsim, const mjBatchConfig* config,
                           char* error, int error_sz)
    void mjb_deleteBatch(mjBatch* b)
    mjtNum* mjb_state(mjBatch* b)
    int mjb_step(mjBatch* b, const int* ids, int nid, int nstep, int stage)
    int mjb_apply(mjBatch* b, const int* ids, int nid, mjfBatchFunc func, void* arg, int save)
    const int* mjb_status(const mjBatch* b)
    const char* mjb_error(const mjBatch* b, int sim)
    void mjb_getData(mjBatch* b, int sim, mjData* d)
    void* mjb_expand(mjBatch* b, const char* name, int* size, int* elemsize)
    int mjb_setConst(mjBatch* b, const int* ids, int nid)
    void mjb_getModel(mjBatch* b, int sim, mjModel* m)
    const mjModel* mjb_model(const mjBatch* b)
