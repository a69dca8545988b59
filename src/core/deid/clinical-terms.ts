// Words that may stay in a cleaned descriptor (PS3.15 §E.3.5): parts of the body, planes, protocols, contrast,
// sequences and techniques. No word that is also a common family or given name, and none that names a place.

const words = `
abdomen abdominal abdominopelvic absolute ac acetabulum acquisition acromioclavicular acute adc adenoma adrenal adult
after airway airways amygdala anatomical aneurysm angio angiogram angiography angle ankle anomaly anterior anteroposterior
aorta aortic ap apex apical appendix arm arterial arteriogram arteriovenous artery arthro arthrogram asl aspiration asymmetric
asymmetry atlas atrial atrium atrophy attenuation auditory average average axial axilla axillary b0 baseline bi bilateral biopsy bladder
bleed blood bmode body bold bolus bone bones bony bowel brachial brachytherapy brain brainstem breast breath breathhold
bronchi bronchial bronchus bypass calcaneus calcification calcium calf calibration callosum cancer capsule carcinoma cardiac
carotid carpal cartilage caudal cavity cavum ce cecum cemra cerebellar cerebellum cerebral cervical cervix chest child
chronic cine circle cirrhosis ciss clavicle coarctation coccyx coil coils colon colonography combined complete compression
congenital contrast control cor coronal coronary corpus cortex cortical cranial craniocaudal craniospinal cranium cranio
cruciate ct cta ctv cube cyst cystogram cystography cysts dce deep defect deformity degenerative delay delayed density dental
depth detail diameter diaphragm diastole diastolic diffusion disc discs disk dislocation dissection distal dixon dorsal dose
drain ductal dti duodenum duplex dwi dynamic early echo edema effusion ejection elbow embolism emphysema end endoscopy
endovascular enhanced enhancement enteric enterography epi epigastric epilepsy epiphysis esophagus estimated exam examination exercise
exp expiration expiratory extension external extracranial extraction extremities extremity eye eyes face facet facial fast
fat fatsat feet female femoral femur fetal fetus ffe fibroid fibrosis fibula fibular field fiesta film filter fingers
finger first fistula flair flash flexion flow fluid fluoro fluoroscopy fmri follow followup foot foramen forearm forefoot fov fracture fractures
free frontal frontotemporal full function functional fundus fungal fuse fused gallbladder gastric gated gating geometric glenohumeral
gland glioblastoma glioma glottis gradient graft grase gre groin guided gyrus haematoma half haste head hemangioma hematoma hemi hemorrhage hepatic
hepatobiliary hernia high hilar hilum hip hippocampal hippocampus hips hr hrct hydrocephalus humerus hyper hypo hypophysis iac
ileum iliac ilium image images imaging implant in increment index infarct infarction inferior inflammation inflow infusion inguinal injection inner inplane insp
inspiration inspiratory interior internal interventricular intervertebral intestinal intestine intra intracranial intraoperative intravenous inverse inversion ir
ischemia ischemic iso isotropic iv jaw jejunum joint joints jugular kidney kidneys knee knees kub kv kyphosis labrum
lacrimal large larynx lat late lateral left leg legs lesion lesions lge ligament limb limbs limited lipoma liver lobe
localiser localizer localizers loc longitudinal low lower lumbar lumbosacral lung lungs lymph lymphoma lymphatic main male malignant mammo mammography
mandible map mapping marrow mask mass maxilla maxillofacial mean medial median mediastinal mediastinum medium medulla melanoma meniscus mesenteric
metacarpal metastases metastasis metastatic metatarsal mid midbrain middle midline mip mips mitral mlo mm mode modified mono mosaic motion motor mpr
mprage mpvr mr mra mrcp mri mrs mrv mt multi multiphase multiplanar multislice muscle musculoskeletal myelogram myelography myocardial myocardium nasal nasopharynx native navicular
navigator neck necrosis neonatal neoplasm nephrogram nephrostomy nerve neural neuro neutral nipple no nodal node nodes nodule nodules noncontrast none normal
nose nuclear oblique obstruction occipital occlusion odontoid optic oral orbit orbital orbits organ oropharynx orthopedic osseous ossification osteo
osteoarthritis osteoporosis out outer ovarian ovary overview pa palate pancreas pancreatic panoramic parallel paranasal paraspinal parathyroid parenchyma parietal parotid partial patella
patellar pc pediatric pelvic pelvis penetrating penis perfusion pericardial pericardium perineum periph peripheral peritoneal peritoneum permeability perpendicular pet phalanx pharynx phantom phase phases
pituitary plain plane plaque planning pleura pleural plexus pneumonia pneumothorax polyp popliteal portable portal portovenous position post posterior
posteroanterior postcontrast postop pre precontrast pregnancy preop primary processed product prone prostate prosthesis protocol proton proximal pulmonary pulse quadrant radial radiograph radiography radiotherapy radius rapid
ratio recon reconstruction rectal rectum reduced reference reflux reformat reformatted region registration regional relative renal repeat report resection resolution respiratory rest resting retro
retroperitoneal retroperitoneum reverse review rib ribs right roi root rotation routine runoff rupture sacral sacroiliac sacrum saddle sag sagittal saline saliva salivary sarcoma sat saturation scan
scans scapula scaphoid sciatic scoliosis scout screening scrotum se second secondary segment segmentation segmented selective sella sense sensorimotor sequence septum series shin short shoulder
shoulders shunt side sigmoid single sinus sinuses skeletal skeleton skin skull slab slice slices small soft space spasm spatial spectroscopy spgr sphenoid spin spinal spine spiral spleen splenic
spoiled spondylosis stab standard standing static stationary stenosis stent sternum stir stomach stone stones stress stroke structural study subclavian subcutaneous subdural sublingual submandibular subtraction
suction sulcus superficial superior supine suppressed suppression supra suspected swallow swi symmetric symphysis systole systolic t1 t1w t2 t2w tagging talus task te temporal temporomandibular tendon tendons terminal test testis
testicular thalamus thick thickness thigh thin third thoracic thoracolumbar thorax throat thrombosis thrombus thumb thymus thyroid ti tibia tibial time tissue tmj toe toes tof tomo tomography tongue tonsil torso torsion total tr
trace trachea tract transaxial transformation transplant transverse transversal trauma treatment tricuspid trigeminal true trufi truncus tse tumor tumour turbo ulcer ulna ulnar ultrasound umbilical unenhanced unilateral upper
upright ureter ureters urethra urinary urography urogram us uterine uterus vagina valve valvular varices vascular vein veins velocity vena venogram venography venous ventral ventricle ventricles ventricular ventriculo vertebra
vertebrae vertebral vessel vessels vibe vibration view views visceral volume volumetric vr warped water weighted whole wide width window with without woc wo wc wrist wrists xray year years yes zero zone
ax tra trans sagg coro obl axials mpgr propagation propeller radial dark bright blackblood tirm dess fse ssfse fspgr bravo thrive ultrafast fisp
truefisp spc epi2d ep2d tfe tfl dir psir wip resolve readout kspace grappa multiband mb fieldmap magnitude phasemap
bw shim prescan asset arc venc pcasl pasl cbf cbv mtt ttp tmax fa md rd ad eadc dadc tracew
and at by for from of on or the to w o r l
research testing lossless lossy reversible irreversible near jpeg rle compression conversion uncompressed converted original derived
echocardiogram echocardiography electrocardiogram ecg ekg eeg rhythm bpm con cont quality assurance calibrated onset offset interval duration
resampled filtered averaged denoised corrected uncorrected attenuated motioncorrected interleaved sequential bolustracking tracker premonitoring monitoring
cap bone stand softtissue kernel reconstructed thicks mediast parenchymal subtracted unsubtracted inject injected scano scanogram surview tilt helical lowdose
up down per via under over all not between new old known history prior previous since change changes unchanged stable increased decreased increase decrease
mild moderate severe multiple several solitary benign suspicion evaluate evaluation assess assessment pain fever cough smoker smoking diabetes diabetic hypertension
staging restaging surveillance response progression recurrence recurrent residual palpable painful swelling weakness headache dizziness seizure seizures dementia
subsolid groundglass opacity opacities solid calcified noncalcified lobectomy pneumonectomy mastectomy nephrectomy
gy cgy ptv gtv oar boost imrt vmat arc beam beams fraction fractions
`;

export const clinicalTerms: ReadonlySet<string> = new Set(words.split(/\s+/).filter(Boolean));
