#pragma once
// Written by tools/fit_special.py. Included by math_special.h only.
#include "op/math_core.h"

SN_MATH_BEGIN

// clang-format off
inline constexpr double kJ0Zero0 = 0x1.721fb80462bbbp+2, kJ0Zero0Low = 0x1.db60c816c15d3p-52;
inline constexpr double kJ0Zero1 = 0x1.e78a4a621dd6fp+4, kJ0Zero1Low = -0x1.10d7c5048826bp-52;
inline constexpr double kJ1Zero0 = 0x1.d5d2b4189822cp+3, kJ1Zero0Low = -0x1.c6a0d245172bap-54;
inline constexpr double kJ1Zero1 = 0x1.89bf66072a432p+5, kJ1Zero1Low = 0x1.25355661cb79cp-51;
inline constexpr double kLogGamma[] = {  // on [0.5, 3]
    0x1.fcd8812f806b5p-2, -0x1.84c9a12dde84ep-3, 0x1.a70de2abc88d3p-5, -0x1.0990fea212de8p-6,
    0x1.6731b81086ed1p-8, -0x1.fbdd295e0c4a1p-10, 0x1.7190de9ead2dcp-11, -0x1.1268bf12ea7b6p-12,
    0x1.9d9b154cacf8dp-14, -0x1.3b48dd9990bfbp-15, 0x1.e50eb7f626d0ap-17, -0x1.77e7e87beb755p-18,
    0x1.25218ab48aa5dp-19, -0x1.cb96c468148e1p-21, 0x1.69ef07a293177p-22, -0x1.1e2ace10daea1p-23,
    0x1.c61e141721a9cp-25, -0x1.69729e19d4be0p-26, 0x1.207f0a9ea047ap-27, -0x1.cdb3d8641ba9cp-29,
    0x1.724bbc2933b0dp-30, -0x1.299b05ec750acp-31, 0x1.df48499ccd1a9p-33, -0x1.829bf8bb844c2p-34,
    0x1.385bd4d0974d7p-35, -0x1.f97d7097fff5bp-37, 0x1.99953cf9bde3ap-38, -0x1.4c4c9b0ab9aa5p-39,
    0x1.0debd6155a752p-40, -0x1.b6ff0a334394cp-42, 0x1.655cf4370c581p-43, -0x1.23323948f82e5p-44,
    0x1.daffe18627778p-46, -0x1.83bf55e814547p-47, 0x1.3cc85ffea3a81p-48, -0x1.0301c3cd4bf9dp-49,
    0x1.a7d92849845aep-51, -0x1.5b0ac62af24d7p-52, 0x1.1c57936c862f0p-53, -0x1.d23bb56a8aea6p-55,
    0x1.7e77d3df2a1d8p-56, -0x1.39ee7181dee54p-57, 0x1.01d101e8d9e5bp-58,
};
inline constexpr double kI0Small[] = {  // on [0, 8]
    0x1.5a84e9035a22ap-2, -0x1.37febc057cd8dp-2, 0x1.5f7ac77ac88c0p-3, -0x1.84b70342d06eap-4,
    0x1.93e8acea8a32dp-5, -0x1.84e9ef121b6f0p-6, 0x1.59961f3dde3ddp-7, -0x1.1b65e201aa849p-8,
    0x1.adc758a12100ep-10, -0x1.2e2fd1f15eb52p-11, 0x1.8b51b74107cabp-13, -0x1.e2b2659c41d5ap-15,
    0x1.13f58be9a2859p-16, -0x1.2866fcba56427p-18, 0x1.2bf24978cf4acp-20, -0x1.1ec638f227f8dp-22,
    0x1.03b769d4d6435p-24, -0x1.beaf68c0b30abp-27, 0x1.6d903a454cb34p-29, -0x1.1d4fe13ae9556p-31,
    0x1.a98becc743c10p-34, -0x1.2fc957a946abcp-36, 0x1.9fe2fe19bd324p-39, -0x1.1164c62ee1af0p-41,
    0x1.59b464b262627p-44, -0x1.a5022c297fbebp-47, 0x1.ee6d893f65ebap-50, -0x1.184eb721ebbb4p-52,
    0x1.33362977da589p-55, -0x1.45cb72134d0efp-58,
};
inline constexpr double kI0Large[] = {  // on [1e-30, 0.125]
    0x1.9be62aca809cbp-2, 0x1.b998ca2e59049p-9, 0x1.20fa378999e52p-14, 0x1.8412bc101c586p-19,
    0x1.b8007d9cd616ep-23, 0x1.8569280d6d56dp-26, 0x1.d2c64a9225b87p-29, 0x1.0f9ccc0f46f75p-31,
    0x1.a24feabe8004fp-37, -0x1.1511d08397425p-35, -0x1.d0fd7357e7bf2p-37, -0x1.f904303178d66p-40,
    0x1.94347fa268cecp-41, 0x1.b1c8c6b83c073p-42, 0x1.156ff0d5fc545p-46, -0x1.75d99cf68bb32p-45,
    -0x1.583fe7e65629ap-47, 0x1.12a919094e6d7p-48, 0x1.fee7da3eafb1fp-50, -0x1.8aee7d908de38p-52,
    -0x1.4600babd21fe4p-52, 0x1.3f3dd076041cdp-55, 0x1.9be1812d98421p-55, -0x1.646da66119130p-58,
    -0x1.0adb754ca8b19p-57,
};
inline constexpr double kI1Small[] = {  // on [1e-30, 8]
    0x1.02a63724a7ffap-3, -0x1.694d10469192ep-3, 0x1.a46dad536f53cp-4, -0x1.b1bbc537c9ebcp-5,
    0x1.951e3e7bb2349p-6, -0x1.5a29f7913a26ap-7, 0x1.1065349d3a1b4p-8, -0x1.8cc620b3cd4a4p-10,
    0x1.0c95db6c6df7dp-11, -0x1.533cad3d694fep-13, 0x1.911b542c70d0bp-15, -0x1.bd5f9b8debbcfp-17,
    0x1.d1c4ed511afc5p-19, -0x1.cc0798363992ap-21, 0x1.ae344b347d108p-23, -0x1.7dd3e24b8c3e8p-25,
    0x1.4258e02395010p-27, -0x1.0361b28ea67e6p-29, 0x1.8ea34b43fdf6cp-32, -0x1.2510397eb07dep-34,
    0x1.9cee2b21d3154p-37, -0x1.173835fb70366p-39, 0x1.6af784779d955p-42, -0x1.c628e1c8f0b3bp-45,
    0x1.11d7f0615290cp-47, -0x1.3eaaa7e0d1573p-50, 0x1.663e3e593bfacp-53, -0x1.857d0c38a0576p-56,
    0x1.99f2a0c3c4014p-59,
};
inline constexpr double kI1Large[] = {  // on [1e-30, 0.125]
    0x1.8ea18b55b1514p-2, -0x1.3fda053fcdb4cp-7, -0x1.cfd7f804aa9a6p-14, -0x1.048df49ca0373p-18,
    -0x1.0dbfd2e9e5443p-22, -0x1.c415394bb46c1p-26, -0x1.0790b9ad53528p-28, -0x1.334ca5423dd80p-31,
    -0x1.4dcf9d4504c0cp-36, 0x1.1e1a1f1587865p-35, 0x1.f101f653c457bp-37, 0x1.1e7d3f6439fa3p-39,
    -0x1.953e1076ab493p-41, -0x1.cbc458e73e255p-42, -0x1.7a9482e6d22a0p-46, 0x1.80d3c26b3281ep-45,
    0x1.776e1762d31e8p-47, -0x1.12db5138afbc7p-48, -0x1.0efcd8bc4d22ap-49, 0x1.7d68e5f04a2d1p-52,
    0x1.55915fceb588ap-52, -0x1.2806c9c773320p-55, -0x1.acea3b2532277p-55, 0x1.45b8aea87b950p-58,
    0x1.1556db352e8e6p-57,
};
inline constexpr double kK0Small[] = {  // on [1e-30, 1]
    -0x1.099e838f46e0fp-1, 0x1.ee1eb0c265187p-5, 0x1.f3db0ad3743eep-10, 0x1.28b80c243b8d0p-16,
    0x1.608deac44093dp-24, 0x1.fc6d1aa8ec608p-33, 0x1.ee47d01637bf6p-42, 0x1.5a826191abaa7p-51,
};
inline constexpr double kK1Small[] = {  // on [1e-30, 1]
    0x1.00ac3d7d28392p+0, -0x1.943094e5fecbbp-9, -0x1.7c6b4a861086ep-8, -0x1.87ea24cafc85cp-14,
    -0x1.45e0fa3072814p-21, -0x1.2ca11ed40970ep-29, -0x1.636c4bb3cffd5p-38, -0x1.252dfb27a9c30p-47,
    -0x1.653973498b073p-57,
};
inline constexpr double kK0Middle[] = {  // on [0.125, 1]
    0x1.2fcacab097f52p+0, -0x1.701f8595707acp-5, 0x1.86ca894c99e5ep-9, -0x1.3e7224acaf754p-12,
    0x1.4810fc8ba31e0p-15, -0x1.89d7ea1913ec4p-18, 0x1.07d69129d3737p-20, -0x1.805a8cf970730p-23,
    0x1.2b37159763ce2p-25, -0x1.ebf81488e2402p-28, 0x1.a75de3fba85cap-30, -0x1.7ad7bf4dac0fep-32,
    0x1.5eae50ea1613cp-34, -0x1.4e695c96d212fp-36, 0x1.476c348f02a9ap-38, -0x1.483d7327fed8ap-40,
    0x1.5024709b62b40p-42, -0x1.5ef484ce45efcp-44, 0x1.74f2914cbfc13p-46, -0x1.92cb0f5ccff50p-48,
    0x1.b993d60f2bce6p-50, -0x1.ead78ac82afd3p-52, 0x1.145530d1b2b7cp-53, -0x1.3ae487d34b2acp-55,
    0x1.6ae1f43d7997ap-57,
};
inline constexpr double kK1Middle[] = {  // on [0.125, 1]
    0x1.7a9fa430de465p+0, 0x1.4cf7904579719p-3, -0x1.80be12b1d2df0p-8, 0x1.0388a9eaeeec5p-11,
    -0x1.e5aa5bc25651dp-15, 0x1.12ae75a6df9e0p-17, -0x1.614626e3fb181p-20, 0x1.f3638867340d0p-23,
    -0x1.7bda3de37be4bp-25, 0x1.328b932caef32p-27, -0x1.03d2be45202afp-29, 0x1.cb1f2ba8576dep-32,
    -0x1.a46a29f5f1bdfp-34, 0x1.8d2d7a3bb4c6dp-36, -0x1.81b5f6594c819p-38, 0x1.7fe48efa6b2f8p-40,
    -0x1.869db15cd37d1p-42, 0x1.957bd05c500c3p-44, -0x1.aca755d3a5f89p-46, 0x1.ccc53e9a4d68ep-48,
    -0x1.f6f510ec41328p-50, 0x1.166d6a1e60f93p-51, -0x1.385a04a588dbfp-53, 0x1.62bc1de2b97fep-55,
    -0x1.97838d1062eadp-57,
};
inline constexpr double kK0Large[] = {  // on [1e-30, 0.125]
    0x1.3e762bda02822p+0, -0x1.2ca43e2075142p-7, 0x1.2ef1bcd47bec8p-13, -0x1.0d595dd239ad5p-18,
    0x1.50b0771f4ea8bp-23, -0x1.0afa9d3cdef4fp-27, 0x1.fb014035fe5c4p-32, -0x1.15d530f529e11p-35,
    0x1.56b2c54b23e51p-39, -0x1.d319102e9251ap-43, 0x1.5aeb434479fadp-46, -0x1.15ca386b00802p-49,
    0x1.db82af887f813p-53, -0x1.aff6f40020063p-56,
};
inline constexpr double kK1Large[] = {  // on [1e-30, 0.125]
    0x1.482a5f2b898c2p+0, 0x1.d023ed46952dbp-6, -0x1.038fb9be6c5aap-12, 0x1.8359bb4d90134p-18,
    -0x1.bc4d22ee868dfp-23, 0x1.4ea9cce60ab63p-27, -0x1.330e9e355cb2dp-31, 0x1.485b9c7ae6cafp-35,
    -0x1.8d9739428cf59p-39, 0x1.0b10cafd9fd90p-42, -0x1.881d86da4951cp-46, 0x1.36fcfb04fab70p-49,
    -0x1.080aaec279da4p-52, 0x1.dc75547a9e207p-56,
};
inline constexpr double kJ0Small[] = {  // on [1e-30, 64]
    0x1.04e13f8fab020p-9, -0x1.57881fc4f0fe7p-9, 0x1.c77c9fadedfbep-11, -0x1.655df19f782e1p-13,
    0x1.71ec1adf658d6p-16, -0x1.0fc6ac62551f1p-19, 0x1.2a75338f61144p-23, -0x1.fcfc110254f74p-28,
    0x1.5b014c7f3264cp-32, -0x1.8329f79080c9fp-37, 0x1.682aafbfa7502p-42, -0x1.1bba6f6fac948p-47,
    0x1.7f85785f8d74ap-53, -0x1.c1bf0c95af860p-59, 0x1.cdf6a922f9295p-65,
};
inline constexpr double kJ1Small[] = {  // on [1e-30, 64]
    0x1.2481f9ddd6e60p-12, -0x1.46b401aad3370p-12, 0x1.66c414b5c0674p-14, -0x1.dac60bd4bf0c6p-17,
    0x1.a72e33476f37ap-20, -0x1.108829dfa9288p-23, 0x1.0a34bbef6d16cp-27, -0x1.98a458b97e18cp-32,
    0x1.fa7e65328f130p-37, -0x1.02f61d24d8a58p-41, 0x1.bca5edb996a01p-47, -0x1.452fd7be98cb7p-52,
    0x1.9a2b2940c3b58p-58, -0x1.c2d74fed71ec1p-64,
};
inline constexpr double kY0Small[] = {  // on [1e-30, 64]
    -0x1.0f88700652ecbp-5, -0x1.190fcad75eca2p-2, 0x1.6ea98ade961a1p-3, 0x1.0bd84f7777bd6p-2,
    -0x1.6b1d515347a69p-3, 0x1.82a2a1c96271fp-5, -0x1.dd9fb881100e6p-8, 0x1.8ad9320695af0p-11,
    -0x1.d873fa854ed4dp-15, 0x1.ae5f9e7adde46p-19, -0x1.35649a4058471p-23, 0x1.68b1c63f94e89p-28,
    -0x1.5c457ea1daccep-33, 0x1.1b53ed8a54178p-38, -0x1.89f1fa5209ce6p-44, 0x1.d9b425efafdd8p-50,
    -0x1.f1a7711576130p-56,
};
inline constexpr double kY1Small[] = {  // on [1e-30, 64]
    0x1.4ca997b04b826p-9, -0x1.07927e87fd36bp-6, -0x1.88db11a1e0337p-4, 0x1.59ea4fc627f66p-4,
    -0x1.d020c3798a51ap-6, 0x1.5aadc0f38e31dp-8, -0x1.504ea6f6291cdp-11, 0x1.cde014f53622dp-15,
    -0x1.dadf80f6e35f9p-19, 0x1.7c45af600d3dcp-23, -0x1.e8a21e8e1cb71p-28, 0x1.01c33ee943bc5p-32,
    -0x1.c6f1d25aa2e2ap-38, 0x1.54fcf661706ffp-43, -0x1.b7b8e4b5d24fcp-49, 0x1.ed24ebd671b40p-55,
    -0x1.e58358b5996e3p-61,
};
inline constexpr double kP0[] = {  // on [1e-30, 0.015625]
    0x1.ffb944543151ep-1, -0x1.194ac5283c04ap-11, 0x1.9cbe8b7395851p-19, -0x1.bc26938a82ce2p-25,
    0x1.c03a8b38ca73cp-30, -0x1.59ddcc28538a8p-34, 0x1.6baf23642c655p-38, -0x1.e4a709e74825bp-42,
    0x1.85b481672b1eep-45, -0x1.6d432cb7153fep-48, 0x1.84fff80b613c2p-51, -0x1.cdb3179595bbdp-54,
    0x1.2cca86c6338d9p-56,
};
inline constexpr double kQ0[] = {  // on [1e-30, 0.015625]
    -0x1.fdbbf76547cafp-4, 0x1.1ed40c7bf4761p-11, -0x1.8e1017183d060p-18, 0x1.34c3b3f0f3e19p-23,
    -0x1.8fc71e52a5280p-28, 0x1.7334b27ad2886p-32, -0x1.c34f407df8ba4p-36, 0x1.52763be90a889p-39,
    -0x1.2c827d7f6e2d5p-42, 0x1.329f0c1b6c666p-45, -0x1.5fa3147b301c9p-48, 0x1.bd9648f62c6b8p-51,
    -0x1.33cdb710c05d6p-53, 0x1.cab223df72976p-56, -0x1.6d757f20d1676p-58, 0x1.351cf3ac934b3p-60,
};
inline constexpr double kP1[] = {  // on [1e-30, 0.015625]
    0x1.003b2e82f5f12p+0, 0x1.d7545f75d7da9p-11, -0x1.0b9505ce79bbap-18, 0x1.0953cdc0829efp-24,
    -0x1.01454cf5d6ac0p-29, 0x1.83c5742be2cc3p-34, -0x1.9171afe32fc02p-38, 0x1.088a8b6783e50p-41,
    -0x1.a5ead8bea617fp-45, 0x1.88e8192bcb004p-48, -0x1.a045d1e6aa4e8p-51, 0x1.ebf5d803cd896p-54,
    -0x1.3f5b1671b84fbp-56,
};
inline constexpr double kQ1[] = {  // on [1e-30, 0.015625]
    0x1.7f34213492af6p-2, -0x1.93d0e4fa70662p-11, 0x1.eaa02bf61504bp-18, -0x1.681617e8645adp-23,
    0x1.c467999a69933p-28, -0x1.9c37875f5ebc0p-32, 0x1.eeb91abca8164p-36, -0x1.6f877e53fb185p-39,
    0x1.43f8057a1761fp-42, -0x1.48ac416e30219p-45, 0x1.772d4dd737bf2p-48, -0x1.d994b1fddb9f0p-51,
    0x1.46123a8bbc898p-53, -0x1.e48d4f144b8b2p-56, 0x1.811d207bb2e69p-58,
};
inline constexpr double kAirySmall[] = {  // on [-6, 2]
    0x1.46e735b396c5fp-4, 0x1.11958780f9c75p-3, -0x1.07f30bc84849ap-3, -0x1.6779d04c769adp-4,
    -0x1.e2c68e76b303cp-4, 0x1.fec678b5b0488p-3, -0x1.23ec86d4b0384p-5, -0x1.0115aa4776140p-3,
    0x1.39af50873c540p-4, 0x1.ac981338296acp-8, -0x1.7a77866ae426fp-6, 0x1.ebc91daf377bfp-8,
    0x1.be6f70a9af354p-10, -0x1.e46efc05f3d0fp-10, 0x1.70d9821856cc3p-12, 0x1.1df4d9e195f61p-13,
    -0x1.5c7ef508ed9a2p-14, 0x1.2a703bdf09022p-17, 0x1.8ae0d3b2abcbbp-18, -0x1.409a6e677cd55p-19,
    0x1.dbd63e58505b7p-24, 0x1.5d0886407c5adp-23, -0x1.97dbaead0e8f1p-25, -0x1.81eadbd0252f5p-33,
    0x1.b02dc3b5da436p-29, -0x1.79d23e562843cp-31, -0x1.2de4ea6dc0b26p-35, 0x1.8ce1d0b6cdd2bp-35,
    -0x1.080f3d73d9c90p-37, -0x1.9c19f54ac09dbp-41, 0x1.195da578217ebp-41, -0x1.1d187e7e1908fp-44,
    -0x1.5b4320f4c0ee9p-47, 0x1.3d4e9790c6f83p-48, -0x1.e1738854c691ep-52, -0x1.adab2bff2efa1p-54,
    0x1.2343cee93531bp-55, -0x1.3d4faf9bba9acp-59,
};
inline constexpr double kAiryTail[] = {  // on [1e-30, 0.54]
    0x1.1c4a17561e336p-2, -0x1.15930b0cf64d1p-8, 0x1.bddd86abac7aap-13, -0x1.2dda9668e8befp-16,
    0x1.1078c20592202p-19, -0x1.29ba5cb252cf0p-22, 0x1.760ff91a1f5c0p-25, -0x1.05d48edec2744p-27,
    0x1.8ff75c28adc23p-30, -0x1.4873aae0329bbp-32, 0x1.1ed85388c3974p-34, -0x1.0830fad2a72e3p-36,
    0x1.fddf0b85da97cp-39, -0x1.0061fa4f6d1ccp-40, 0x1.0b8e55f191ae3p-42, -0x1.20b31dc161827p-44,
    0x1.411eb2791f9b0p-46, -0x1.6f3e9d95f8b4bp-48, 0x1.aede4ae29084fp-50, -0x1.02ccf45fb1e6ep-51,
    0x1.3dcaa907aa25ap-53, -0x1.8e49e407b4c7bp-55, 0x1.fccf92ad29ef4p-57, -0x1.4ae204e8aef70p-58,
};
inline constexpr double kAiryP[] = {  // on [1e-30, 0.0105]
    0x1.ffe6bf4494aeep-1, -0x1.927ab22c23dd9p-13, 0x1.8c3fa27b584bbp-21, -0x1.2a32b082ecd28p-27,
    0x1.b177862db93b6p-33, -0x1.ee32b27f60539p-38, 0x1.888d93c36e5b0p-42, -0x1.92e75dfad2d17p-46,
    0x1.fb7ed095567dbp-50, -0x1.7a09007e77c72p-53, 0x1.44102f52edbe7p-56,
};
inline constexpr double kAiryQ[] = {  // on [1e-30, 0.0105]
    0x1.1ba55c77990d1p-4, -0x1.95c4b2a91ddf8p-13, 0x1.817bf4691b1d4p-20, -0x1.a6e2b537f86eap-26,
    0x1.8de472c4e5a86p-31, -0x1.130788202e097p-35, 0x1.fc78f40bb7472p-40, -0x1.27521109f848ap-43,
    0x1.9cac19c0d6796p-47, -0x1.4ffc74ebd79aep-50, 0x1.37376ee0175e5p-53, -0x1.41f27ec9a92edp-56,
    0x1.6e8d60748f42ep-59,
};
// clang-format on

SN_MATH_END
